/* Numbers as text for the log, Prometheus and JSON, independent of the locale's habits of exponent. */
#ifndef OBSERVE_NUMBER_H
#define OBSERVE_NUMBER_H

#define NUMBER_TEXT_MAX 32

/* Writes the shortest text that reads back as `number`: integers below 1e18 without point and exponent; not finite
 * numbers as NaN, +Inf and -Inf. Returns `out`. */
const char *number_text(double number, char out[NUMBER_TEXT_MAX]);

#endif
