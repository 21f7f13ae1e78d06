/* A frame log and its cursors under arbitrary operations, beside a model. */
#define DRIVE_EVENTS 600 /* more than the input can ask for */
#include "../unit/frame_log_drive.h"
#include "require.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int line = 0;
	if (size > 1200) /* the model is slow */
		return 0;
	const char *broken = drive_run(data, size, &line, NULL);
	if (broken)
		fprintf(stderr, "frame_log_drive.h:%d: broken: %s\n", line, broken);
	REQUIRE(!broken);
	return 0;
}
