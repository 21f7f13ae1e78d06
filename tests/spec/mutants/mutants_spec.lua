-- What tests/mutants changes in a C file.
local lfs = require "lfs"
package.path = "tests/mutants/?.lua;" .. package.path
local change = require "change"
local layers = require "layers"

-- The changes of a function with this body, one text each: "what stood there => what stands there now".
local function changes(body)
  local list = {}
  for _, one in ipairs(change.all("static int answer(int x)\n{\n" .. body .. "}\n")) do
    assert.equal("answer", one.func)
    local after = {}
    for _, line in ipairs(one.after) do if line ~= "" then after[#after + 1] = line:match "^%s*(.*)" end end
    for i, line in ipairs(one.before) do one.before[i] = line:match "^%s*(.*)" end
    if one.line > 2 then list[#list + 1] = table.concat(one.before, " ") .. " => " .. table.concat(after, " ") end
  end
  return list
end

describe("mutants", function()
  it("negate conditions, swap comparisons and connectives, drop a !", function()
    assert.same({ "if (a < b) => if (!(a < b))", "if (a < b) => if (a <= b)" }, changes "\tif (a < b)\n")
    assert.same({ "if (a == b) => if (a != b)" }, changes "\tif (a == b)\n")
    assert.same({ "if (!a) => if (a)" }, changes "\tif (!a)\n")
    assert.same({ "while (a && *b) => while (!(a && *b))", "while (a && *b) => while (a || *b)" }, changes "\twhile (a && *b)\n")
    assert.same({ "if (a || => if (a &&" }, changes "\tif (a ||\n")
  end)

  it("are off by one, answer the opposite, return early", function()
    assert.same({ "return a + 1; => return a;", }, changes "\treturn a + 1;\n")
    assert.same({ "return -1; => return 0;" }, changes "\treturn -1;\n")
    assert.same({ "return true; => return false;" }, changes "\treturn true;\n")
    assert.same({ "{ return 0;" }, change.all("int f(void)\n{\n}\n")[1].after)
    assert.same({ "{ return;" }, change.all("static void f(int a,\n  int b)\n{\n}\n")[1].after)
  end)

  it("drop whole statements, but no declaration, no part of one and no jump", function()
    assert.same({ "call(a, b); => ;" }, changes "\tcall(a, b);\n")
    assert.same({ "x->y = z; => ;" }, changes "\tx->y = z;\n")
    assert.same({ "call(a, b); => ;" }, changes "\tcall(a,\n\t     b);\n")
    assert.same({}, changes "\tstruct thing *x = y;\n\tsize_t n;\n\tint a = b +\n\t        c;\n\treturn call(a);\n\t(void)x;\n")
  end)

  it("leave comments, texts and what stands outside of functions alone", function()
    assert.same({ 'call("a < b", \'!\'); => ;' }, changes "\t/* a < b */ \n\tcall(\"a < b\", '!');\n\t// x = 1;\n#if a < b\n")
    assert.same({}, change.all "enum { A = 1 < 2 };\nstatic const int table[] = {\n\t1 + 1,\n};\n")
  end)

  it("keep every line where it is", function()
    for _, path in ipairs { "src/ami/framer.c", "src/link/intake.c", "src/net/stream.c" } do
      local text = assert(io.open(path)):read "a"
      local _, lines = text:gsub("\n", "")
      assert.equal(#text, #change.masked(text))
      local all = change.all(text)
      assert.is_true(#all > 100)
      for _, one in ipairs(all) do
        local changed = change.apply(text, one)
        assert.not_equal(text, changed)
        assert.equal(lines, select(2, changed:gsub("\n", "")))
      end
    end
  end)

  it("have a table of layers and tests that exist", function()
    for name, steps in pairs(layers) do
      assert.equal("directory", lfs.attributes("src/" .. name, "mode"), name)
      for _, step in ipairs(steps) do
        local files = step.specs or { "tests/unit/" .. step.unit .. ".c" }
        for _, path in ipairs(files) do
          assert.equal("file", lfs.attributes(path, "mode"), name .. ": " .. path)
          -- For a step of the module the program is not built, and the helper starts it.
          assert.falsy(step.module and assert(io.open(path)):read "a":find("spec.helper", 1, true), name .. ": " .. path)
        end
      end
    end
  end)
end)
