/* From WAITING to the banner: address, TCP, TLS. */
#include <stdlib.h>

#include "link/internal.h"
#include "observe/log.h"

enum link_reason link_stream_reason(enum stream_failure why)
{
	switch (why) {
	case STREAM_REFUSED:
		return REASON_REFUSED;
	case STREAM_UNREACHABLE:
		return REASON_UNREACHABLE;
	case STREAM_TIMEOUT:
		return REASON_CONNECT_TIMEOUT;
	case STREAM_TLS:
		return REASON_TLS;
	case STREAM_RESET:
		return REASON_RESET;
	case STREAM_EOF:
		return REASON_EOF;
	case STREAM_SYSTEM:
		break;
	}
	return REASON_SYSTEM;
}

static void on_resolved(void *ctx, const struct address *addresses, size_t count, const struct err *err)
{
	struct link *link = ctx;

	link->resolve = NULL;
	if (count == 0) {
		link_end(link, REASON_RESOLVE, "%s", err->text);
		return;
	}
	link_move(link, LINK_CONNECTING);
	stream_connect(link->stream, addresses, count, link->config.timeouts.connect);
}

void link_connect(struct link *link)
{
	link->counts.connects++;
	link_move(link, LINK_RESOLVING);
	link->resolve = resolve_start(link->hub->resolver, link->config.host, link->config.port, link->config.timeouts.resolve,
	                              on_resolved, link);
}

/* A new session: nothing of an older one is left in it (P6). */
static void await_banner(struct link *link)
{
	framer_reset(&link->framer, true);
	pending_reset(link->pending);
	link->appended = link->flushed = link->tried = 0;
	link->version[0] = '\0';
	link->said_shutdown = false;
	link_move(link, LINK_BANNER);
	stream_start_read(link->stream);
}

static void on_connected(void *ctx)
{
	struct link *link = ctx;

	link->peer = *stream_peer(link->stream);
	if (!link->tls) {
		await_banner(link);
		return;
	}
	link_move(link, LINK_TLS);
	stream_start_tls(link->stream, link->tls, link->config.tls.server_name ? link->config.tls.server_name : link->config.host);
}

static void on_secured(void *ctx)
{
	struct link *link = ctx;

	link->certificate_end = stream_certificate_end(link->stream);
	await_banner(link);
}

static void on_failed(void *ctx, enum stream_failure why, const struct err *err)
{
	link_end(ctx, link_stream_reason(why), "%s", err->text);
}

static void on_readable(void *ctx)
{
	link_read(ctx);
}

static void on_writable(void *ctx)
{
	link_flush(ctx);
}

const struct stream_handler link_stream_handler = {
	.connected = on_connected,
	.secured = on_secured,
	.failed = on_failed,
	.readable = on_readable,
	.writable = on_writable,
};

void link_connect_due(struct link *link)
{
	switch (link->state) {
	case LINK_TLS:
		link_end(link, REASON_TLS, "no end of the TLS handshake in %g s: does this port speak TLS? (handshake timeout)",
		         link->config.timeouts.tls);
		break;
	case LINK_BANNER:
		link_end(link, REASON_BANNER_TIMEOUT,
		         "connected, but no banner in %g s: is this an AMI port (5038; with TLS 5039, and tls set)?",
		         link->config.timeouts.banner);
		break;
	case LINK_LOGIN:
		link_end(link, REASON_LOGIN_TIMEOUT, "no answer to the login in %g s", link->config.timeouts.login);
		break;
	default:
		break;
	}
}
