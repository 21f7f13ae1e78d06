# Do the tests notice a wrong line? See tests/README.md, "Mutants".
#   make mutants LAYER=ami                   100 changes, one at a time
#   make mutants LAYER=ami MUTANTS=20 SEED=7 SECONDS=300 FILE=framer.c LINES=40-60 GOAL=90

.PHONY: mutants

mutants: deps
	@tests/install-packages $(TEST_PACKAGES)
	@lua5.4 tests/mutants/run $(LAYER) $(if $(MUTANTS),count=$(MUTANTS)) $(if $(SEED),seed=$(SEED)) $(if $(SECONDS),seconds=$(SECONDS)) \
	      $(if $(FILE),file=$(FILE)) $(if $(LINES),lines=$(LINES)) $(if $(GOAL),goal=$(GOAL))
