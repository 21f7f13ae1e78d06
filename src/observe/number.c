#include "observe/number.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *number_text(double number, char out[NUMBER_TEXT_MAX])
{
	if (isnan(number)) {
		strcpy(out, "NaN");
	} else if (isinf(number)) {
		strcpy(out, number > 0 ? "+Inf" : "-Inf");
	} else if (fabs(number) < 1e18 && floor(number) >= number) {
		/* Adding zero turns -0 into 0. */
		snprintf(out, NUMBER_TEXT_MAX, "%.0f", number + 0.0);
	} else {
		for (int digits = 15; digits <= 17; digits++) {
			snprintf(out, NUMBER_TEXT_MAX, "%.*g", digits, number);
			double back = strtod(out, NULL);
			if (!(back < number) && !(back > number))
				break;
		}
	}
	return out;
}
