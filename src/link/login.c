/* Logging in: MD5 challenge or plain (Q40 .. Q42). */
#include <openssl/evp.h>
#include <stdio.h>

#include "link/internal.h"
#include "observe/log.h"

static void close_action(struct action *action)
{
	/* It may hold the secret, or the key made of it (P8). */
	if (action->bytes.data)
		explicit_bzero(action->bytes.data, action->bytes.cap);
	action_close(action);
}

/* Sends `action`; 0 and the session's end when it cannot be sent. */
static uint64_t send_or_end(struct link *link, struct action *action)
{
	struct err err;
	/* In one piece from the start, so that no outgrown copy of a secret is left behind. */
	buf_reserve(&link->out, LINK_OWN_RESERVE);
	uint64_t sequence = link_send_own(link, action, &err);

	if (!sequence)
		link_end(link, REASON_PROTOCOL, "the login cannot be sent: %s", err.text);
	return sequence;
}

static int add_credentials(struct action *action, const struct link_config *config, const char *secret, struct err *err)
{
	action_init(action);
	/* Space for all of it, so that growing leaves no copy of the secret behind. */
	buf_reserve(&action->bytes, LINK_OWN_RESERVE);
	if (action_add(action, SLICE("Action"), SLICE("Login"), err) ||
	    action_add(action, SLICE("Username"), slice_cstr(config->username), err) ||
	    action_add(action, SLICE("Secret"), slice_cstr(secret), err))
		return -1;
	return config->events ? action_add(action, SLICE("Events"), slice_cstr(config->events), err) : 0;
}

static bool is_loopback_name(const char *host)
{
	struct address address;
	if (address_literal(host, 0, &address))
		return address_is_loopback(&address);
	/* What it resolves to is checked again before the secret is sent. */
	return slice_eq_nocase(slice_cstr(host), SLICE("localhost"));
}

int login_check(const struct link_config *config, struct err *err)
{
	struct action action;

	if (!config->username || !config->username[0] || !config->secret)
		return err_set(err, ERR_INVALID, "server %s: username and secret must be set", config->name);
	if (config->plain_login && !config->tls.enabled && !config->allow_plaintext && !is_loopback_name(config->host))
		return err_set(err, ERR_INVALID,
		               "server %s: auth = \"plain\" would send the secret readable over the network to %s: switch tls on, use "
		               "auth = \"md5\", or set allow_plaintext = true",
		               config->name, config->host);
	struct err why;
	int rc = add_credentials(&action, config, config->secret, &why);
	close_action(&action);
	return rc ? err_set(err, ERR_INVALID, "server %s: username, secret or events cannot be sent to Asterisk: %s", config->name,
	                    why.text)
	          : 0;
}

static void send_plain(struct link *link)
{
	struct action action;
	struct err err;

	if (!stream_is_tls(link->stream) && !link->config.allow_plaintext && !address_is_loopback(&link->peer)) {
		char ip[ADDRESS_TEXT_MAX];
		address_text(&link->peer, ip);
		link_end(link, REASON_AUTH,
		         "auth = \"plain\" would send the secret readable over the network to %s: switch tls on, use auth = \"md5\", or set "
		         "allow_plaintext = true",
		         ip);
		return;
	}
	if (add_credentials(&action, &link->config, link->secret, &err))
		link_end(link, REASON_PROTOCOL, "the login cannot be sent: %s", err.text);
	else
		link->login_sequence = send_or_end(link, &action);
	close_action(&action);
}

static void send_challenge(struct link *link)
{
	struct action action;

	action_init(&action);
	/* Constant words: they always fit. */
	action_add(&action, SLICE("Action"), SLICE("Challenge"), NULL);
	action_add(&action, SLICE("AuthType"), SLICE("MD5"), NULL);
	link->challenge_sequence = send_or_end(link, &action);
	action_close(&action);
}

/* Lowercase hex of md5(challenge + secret). */
static int md5_key(struct slice challenge, const char *secret, char key[2 * EVP_MAX_MD_SIZE + 1])
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool ok = ctx && EVP_DigestInit_ex(ctx, EVP_md5(), NULL) == 1 && EVP_DigestUpdate(ctx, challenge.ptr, challenge.len) == 1 &&
	          EVP_DigestUpdate(ctx, secret, strlen(secret)) == 1 && EVP_DigestFinal_ex(ctx, digest, &len) == 1;

	EVP_MD_CTX_free(ctx);
	key[0] = '\0';
	for (unsigned i = 0; ok && i < len; i++)
		snprintf(key + 2 * i, 3, "%02x", digest[i]);
	explicit_bzero(digest, sizeof digest);
	return ok ? 0 : -1;
}

static void send_md5(struct link *link, struct slice challenge)
{
	char key[2 * EVP_MAX_MD_SIZE + 1];
	struct action action;

	if (md5_key(challenge, link->secret, key)) {
		link_end(link, REASON_AUTH, "this OpenSSL has no MD5: switch tls on and use auth = \"plain\"");
		return;
	}
	action_init(&action);
	buf_reserve(&action.bytes, LINK_OWN_RESERVE);
	/* What is added was checked by login_check(); the key is hex. */
	action_add(&action, SLICE("Action"), SLICE("Login"), NULL);
	action_add(&action, SLICE("AuthType"), SLICE("MD5"), NULL);
	action_add(&action, SLICE("Username"), slice_cstr(link->config.username), NULL);
	action_add(&action, SLICE("Key"), slice_cstr(key), NULL);
	if (link->config.events)
		action_add(&action, SLICE("Events"), slice_cstr(link->config.events), NULL);
	link->login_sequence = send_or_end(link, &action);
	close_action(&action);
	explicit_bzero(key, sizeof key);
}

void login_start(struct link *link)
{
	if (link->config.plain_login)
		send_plain(link);
	else
		send_challenge(link);
}

bool login_reply(struct link *link, const struct reply *reply)
{
	if (reply->sequence == link->challenge_sequence) {
		struct slice challenge = { "", 0 };
		link->challenge_sequence = 0;
		if (reply->code == ERR_NONE && reply->response)
			challenge = message_value(reply->response, SLICE("Challenge"));
		if (challenge.len > 0)
			send_md5(link, challenge);
		else if (reply->code == ERR_NONE)
			link_end(link, REASON_PROTOCOL, "the server answered the Challenge without one");
		else
			/* Whoever listens there may refuse the Challenge to be sent the secret instead (P8). */
			link_end(link, REASON_AUTH,
			         "the server refused the MD5 login (%s); only auth = \"plain\" does without it, and sends the secret itself",
			         reply->text[0] ? reply->text : "no reason given");
	} else {
		link->login_sequence = 0;
		if (reply->code == ERR_NONE)
			link_ready(link);
		else
			link_end(link, REASON_AUTH,
			         "the login of user %s was refused (%s): check username, secret and permit in manager.conf",
			         link->config.username, reply->text[0] ? reply->text : "no reason given");
	}
	return link->state == LINK_LOGIN || link->state == LINK_READY;
}
