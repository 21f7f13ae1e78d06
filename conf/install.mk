# make install (PREFIX, SYSCONFDIR, DESTDIR) and make deb. What stands in SYSCONFDIR/hookswitch already is not touched, but for the
# board's files, which belong to the program's version.
PREFIX     ?= /usr/local
SYSCONFDIR ?= /etc
DESTDIR    ?=
ETC        := $(DESTDIR)$(SYSCONFDIR)/hookswitch
SHARE      := $(DESTDIR)$(PREFIX)/share
MAN        := $(BUILD)/man
# The documents with the paths of what is installed; see conf/installed.lua.
DOCUMENTS  := $(BUILD)/documents
PLACES      = sed -e 's|@DOC@|$(PREFIX)/share/doc/hookswitch|g' -e 's|@ETC@|$(SYSCONFDIR)/hookswitch|g'
MAN_PAGES  := $(MAN)/hookswitch.1 $(MAN)/hookswitch.lua.5 $(MAN)/hookswitch-rules.7
VERSION     = $(shell sed -n 's/.*HOOKSWITCH_VERSION "\(.*\)"/\1/p' src/base/version.h)

.PHONY: install man deb

man: $(MAN_PAGES)

$(DOCUMENTS)/%.md: %.md conf/installed.lua
	@mkdir -p $(@D)
	lua5.4 conf/installed.lua $< >$@

$(MAN)/hookswitch.1: $(DOCUMENTS)/README.md conf/man.lua $(BUILD)/hookswitch
	@mkdir -p $(@D)
	lua5.4 conf/man.lua hookswitch 1 "Lua rules on what happens in Asterisk" --command $(BUILD)/hookswitch \
		run check record replay ctl sim $< >$@

$(MAN)/hookswitch.lua.5: $(DOCUMENTS)/conf/README.md conf/man.lua
	@mkdir -p $(@D)
	lua5.4 conf/man.lua hookswitch.lua 5 "the configuration of hookswitch" $< >$@

$(MAN)/hookswitch-rules.7: $(DOCUMENTS)/lib/README.md conf/man.lua
	@mkdir -p $(@D)
	lua5.4 conf/man.lua hookswitch-rules 7 "what a rule of hookswitch can do" $< >$@

# The sample is made for the source tree; installed, its files are the unit's folders.
install: build man $(DOCUMENTS)/README.md $(DOCUMENTS)/examples/README.md $(DOCUMENTS)/examples/web.md
	install -D -m 755 $(BUILD)/hookswitch $(DESTDIR)$(PREFIX)/bin/hookswitch
	install -D -m 644 $(BUILD)/hookswitch.so $(DESTDIR)$(PREFIX)/lib/lua/5.4/hookswitch.so
	install -D -m 644 src/harness/hookswitch.lua $(SHARE)/lua/5.4/hookswitch.lua
	install -d $(SHARE)/man/man1 $(SHARE)/man/man5 $(SHARE)/man/man7 $(SHARE)/doc/hookswitch/examples $(ETC)/scripts $(ETC)/lib $(ETC)/lib/board
	for page in $(MAN_PAGES); do $(PLACES) $$page | install -m 644 /dev/stdin $(SHARE)/man/man$${page##*.}/$${page##*/} || exit 1; done
	install -m 644 CHANGELOG.md conf/grafana.json $(SHARE)/doc/hookswitch/
	install -m 644 examples/*.lua tests/fixtures/captures/dial.ami tests/fixtures/captures/queue.ami $(SHARE)/doc/hookswitch/examples/
	for file in README.md examples/README.md examples/web.md; do $(PLACES) $(DOCUMENTS)/$$file | install -m 644 /dev/stdin $(SHARE)/doc/hookswitch/$$file || exit 1; done
	install -D -m 644 conf/completion.bash $(SHARE)/bash-completion/completions/hookswitch
	install -d $(DESTDIR)$(PREFIX)/lib/systemd/system
	sed 's|/usr/local/bin|$(PREFIX)/bin|' conf/hookswitch.service >$(DESTDIR)$(PREFIX)/lib/systemd/system/hookswitch.service
	test -e $(ETC)/hookswitch.lua || sed -e 's|"build/journal.log"|"/var/log/hookswitch/journal.log"|' \
		-e 's|"build/hookswitch.sock"|"/run/hookswitch/ctl"|' -e 's|"build/state.db"|"/var/lib/hookswitch/state.db"|' -e 's|build/hookswitch |hookswitch |' \
		-e 's|conf/hookswitch.lua|$(SYSCONFDIR)/hookswitch/hookswitch.lua|' -e 's|conf/README.md has|hookswitch.lua(5) has|' \
		-e 's|Relative to the folder above conf/.|Relative to this folder.|' conf/hookswitch.lua >$(ETC)/hookswitch.lua
	install -m 644 lib/board/* $(ETC)/lib/board/
	test -e $(ETC)/alerts.yml || install -m 644 conf/alerts.yml $(ETC)/
	for file in scripts/*.lua lib/*.lua; do test -e $(ETC)/$$file || install -m 644 $$file $(ETC)/$$file; done

# build/hookswitch_VERSION_ARCHITECTURE.deb
deb: build man
	@conf/debian/build $(BUILD) $(VERSION) $(MAKE)
