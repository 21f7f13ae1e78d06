#include "base/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int err_set(struct err *err, enum err_code code, const char *format, ...)
{
	if (err) {
		va_list args;
		err->code = code;
		va_start(args, format);
		vsnprintf(err->text, sizeof err->text, format, args);
		va_end(args);
	}
	return -1;
}

int err_system(struct err *err, const char *format, ...)
{
	int saved = errno;
	if (err) {
		va_list args;
		err->code = ERR_SYSTEM;
		va_start(args, format);
		int n = vsnprintf(err->text, sizeof err->text, format, args);
		va_end(args);
		if (n >= 0 && (size_t)n < sizeof err->text)
			snprintf(err->text + n, sizeof err->text - (size_t)n, ": %s", strerror(saved));
	}
	errno = saved;
	return -1;
}

const char *err_name(enum err_code code)
{
	static const char *const names[ERR_CODES] = {
		[ERR_NONE] = "none",
		[ERR_ERROR] = "error",
		[ERR_TIMEOUT] = "timeout",
		[ERR_LOST] = "lost",
		[ERR_NOT_READY] = "not_ready",
		[ERR_BACKPRESSURE] = "backpressure",
		[ERR_OVERFLOW] = "overflow",
		[ERR_DENIED] = "denied",
		[ERR_INVALID] = "invalid",
		[ERR_CANCELLED] = "cancelled",
		[ERR_REFUSED] = "refused",
		[ERR_RESOLVE] = "resolve",
		[ERR_TLS] = "tls",
		[ERR_SYSTEM] = "system",
		[ERR_PROTOCOL] = "protocol",
		[ERR_MEMORY] = "memory",
		[ERR_DEADLINE] = "deadline",
	};
	return code < ERR_CODES ? names[code] : "unknown";
}
