/* Errors are values: a code that programs test and a text that people read. */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <stdarg.h>
#include <stddef.h>

enum err_code {
	ERR_NONE = 0,
	/* The named reasons of P3: how an action can fail. */
	ERR_ERROR,        /* Asterisk answered Error */
	ERR_TIMEOUT,      /* no answer by the deadline */
	ERR_LOST,         /* the link fell after some of its bytes went to the kernel: outcome unknown */
	ERR_NOT_READY,    /* the server has no session, or fell before any byte was written */
	ERR_BACKPRESSURE, /* a bound on what may wait was reached */
	ERR_OVERFLOW,     /* the answer or the buffer passed its limit */
	ERR_DENIED,       /* policy */
	ERR_INVALID,      /* the caller's mistake */
	ERR_CANCELLED,    /* ended by a reload or by shutdown */
	/* Of requests to the web, besides. */
	ERR_REFUSED,      /* no connection: nothing was sent */
	ERR_RESOLVE,      /* the host's name has no address */
	ERR_TLS,          /* no session that could be trusted: nothing was sent */
	/* Of the engine itself. */
	ERR_SYSTEM,       /* a system call failed; the text names errno */
	ERR_PROTOCOL,     /* the peer broke AMI */
	ERR_MEMORY,       /* a Lua allocation was refused */
	ERR_DEADLINE,     /* a rule ran longer than it may */
	ERR_CODES
};

struct err {
	enum err_code code;
	char text[512];
};

/* Fills `err` (ignored when NULL; the text is cut to fit) and returns -1, so that callers can
 * `return err_set(...)`. */
int err_set(struct err *err, enum err_code code, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* The same, with `": " strerror(errno)` at the end and ERR_SYSTEM. */
int err_system(struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* "timeout", "not_ready": the word that rules, logs and metrics use. */
const char *err_name(enum err_code code);

#endif
