/* A configuration file of any bytes is read whole and checked, or refused with faults that name what is wrong; what `env` gives
 * stands in none of them (P8). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/config.h"
#include "require.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SECRET "kQ7-wombat-4711"

static char folder[] = "/tmp/fuzz-config-XXXXXX";
static char path[sizeof folder + 32];

static void clean_up(void)
{
	unlink(path);
	rmdir(folder);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	REQUIRE(mkdtemp(folder));
	snprintf(path, sizeof path, "%s/hookswitch.lua", folder);
	setenv("SECRET", SECRET, 1);
	atexit(clean_up);
	return 0;
}

/* Not seen by the fuzzer, which writes into its inputs what it sees compared. */
__attribute__((no_sanitize("coverage"))) static bool tells_secret(const char *text, size_t len)
{
	static const char secret[] = SECRET;
	size_t found = 0;

	for (size_t i = 0; i < len && found < sizeof secret - 1; i++)
		found = text[i] == secret[found] ? found + 1 : text[i] == secret[0];
	return found == sizeof secret - 1;
}

static void check_config(struct config *config)
{
	REQUIRE(!config_needs_restart(config, config));
	for (size_t i = 0; i < config->server_count; i++) {
		REQUIRE(config->servers[i].name && config->servers[i].host && config->servers[i].username && config->servers[i].secret);
		REQUIRE(config->servers[i].port > 0 && config->servers[i].port < 65536);
		REQUIRE(config_server_equal(&config->servers[i], &config->servers[i]));
		REQUIRE(i == 0 || strcmp(config->servers[i - 1].name, config->servers[i].name) < 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct faults faults;

	/* It saw the secret in a library's comparison: what the file itself says, faults may say. */
	if (tells_secret((const char *)data, size))
		return -1;
	FILE *file = fopen(path, "wb");
	REQUIRE(file && fwrite(data, 1, size, file) == size && fclose(file) == 0);
	faults_init(&faults);
	struct config *config = config_load(path, NULL, &faults);
	REQUIRE(!config == (faults_errors(&faults) > 0));
	if (config)
		check_config(config);
	for (size_t i = 0; i < faults.count; i++) {
		REQUIRE(faults.lines[i][0]);
		REQUIRE(!tells_secret(faults.lines[i], strlen(faults.lines[i])));
	}
	faults_close(&faults);
	config_destroy(&config);
	return 0;
}
