#include "ami/catalogue.h"

#include <stdlib.h>

/* Sorted by name without case, for bsearch. */
static const struct action_info actions[] = {
	{ "AbsoluteTimeout", ACTION_KNOWN, NULL, false },
	{ "AgentLogoff", ACTION_KNOWN, NULL, false },
	{ "Agents", ACTION_KNOWN, "AgentsComplete", true },
	{ "AGI", ACTION_KNOWN | ACTION_GUARDED, NULL, false },
	{ "AOCMessage", ACTION_KNOWN, NULL, false },
	{ "Atxfer", ACTION_KNOWN, NULL, false },
	{ "BlindTransfer", ACTION_KNOWN, NULL, false },
	{ "Bridge", ACTION_KNOWN, NULL, false },
	{ "BridgeDestroy", ACTION_KNOWN, NULL, false },
	{ "BridgeInfo", ACTION_KNOWN, "BridgeInfoComplete", false },
	{ "BridgeKick", ACTION_KNOWN, NULL, false },
	{ "BridgeList", ACTION_KNOWN, "BridgeListComplete", false },
	{ "BridgeTechnologyList", ACTION_KNOWN, "BridgeTechnologyListComplete", false },
	{ "BridgeTechnologySuspend", ACTION_KNOWN, NULL, false },
	{ "BridgeTechnologyUnsuspend", ACTION_KNOWN, NULL, false },
	{ "CancelAtxfer", ACTION_KNOWN, NULL, false },
	{ "Challenge", ACTION_KNOWN | ACTION_OWN, NULL, false },
	{ "ChangeMonitor", ACTION_KNOWN | ACTION_GUARDED, NULL, false },
	{ "Command", ACTION_KNOWN | ACTION_GUARDED | ACTION_HOLDS_LINE | ACTION_TEXT, NULL, false },
	{ "ConfbridgeKick", ACTION_KNOWN, NULL, false },
	{ "ConfbridgeList", ACTION_KNOWN | ACTION_EMPTY_AS_ERROR, "ConfbridgeListComplete", false },
	{ "ConfbridgeListRooms", ACTION_KNOWN | ACTION_EMPTY_AS_ERROR, "ConfbridgeListRoomsComplete", false },
	{ "ConfbridgeLock", ACTION_KNOWN, NULL, false },
	{ "ConfbridgeMute", ACTION_KNOWN, NULL, false },
	{ "ConfbridgeSetSingleVideoSrc", ACTION_KNOWN, NULL, false },
	{ "ConfbridgeStartRecord", ACTION_KNOWN | ACTION_GUARDED, NULL, false },
	{ "ConfbridgeStopRecord", ACTION_KNOWN, NULL, false },
	{ "ConfbridgeUnlock", ACTION_KNOWN, NULL, false },
	{ "ConfbridgeUnmute", ACTION_KNOWN, NULL, false },
	{ "ControlPlayback", ACTION_KNOWN, NULL, false },
	{ "CoreSettings", ACTION_KNOWN, NULL, false },
	{ "CoreShowChannelMap", ACTION_KNOWN, NULL, false },
	{ "CoreShowChannels", ACTION_KNOWN, "CoreShowChannelsComplete", false },
	{ "CoreStatus", ACTION_KNOWN, NULL, false },
	{ "CreateConfig", ACTION_KNOWN | ACTION_GUARDED, NULL, false },
	{ "DAHDIDialOffhook", ACTION_KNOWN, NULL, false },
	{ "DAHDIDNDoff", ACTION_KNOWN, NULL, false },
	{ "DAHDIDNDon", ACTION_KNOWN, NULL, false },
	{ "DAHDIHangup", ACTION_KNOWN, NULL, false },
	{ "DAHDIRestart", ACTION_KNOWN, NULL, false },
	{ "DAHDIShowChannels", ACTION_KNOWN, "DAHDIShowChannelsComplete", true },
	{ "DAHDIShowStatus", ACTION_KNOWN, NULL, false },
	{ "DAHDITransfer", ACTION_KNOWN, NULL, false },
	{ "DataGet", ACTION_KNOWN, NULL, false },
	{ "DBDel", ACTION_KNOWN, NULL, false },
	{ "DBDelTree", ACTION_KNOWN | ACTION_GUARDED, NULL, false },
	{ "DBGet", ACTION_KNOWN, "DBGetComplete", true },
	{ "DBGetTree", ACTION_KNOWN, "DBGetTreeComplete", false },
	{ "DBPut", ACTION_KNOWN, NULL, false },
	{ "DeviceStateList", ACTION_KNOWN, "DeviceStateListComplete", false },
	{ "DialplanExtensionAdd", ACTION_KNOWN | ACTION_GUARDED, NULL, false },
	{ "DialplanExtensionRemove", ACTION_KNOWN | ACTION_GUARDED, NULL, false },
	{ "Events", ACTION_KNOWN | ACTION_OWN, NULL, false },
	{ "ExtensionState", ACTION_KNOWN, NULL, false },
	{ "ExtensionStateList", ACTION_KNOWN | ACTION_EMPTY_AS_ERROR, "ExtensionStateListComplete", false },
	{ "FAXSession", ACTION_KNOWN | ACTION_ONE_EVENT, NULL, false },
	{ "FAXSessions", ACTION_KNOWN, "FAXSessionsComplete", false },
	{ "FAXStats", ACTION_KNOWN | ACTION_ONE_EVENT, NULL, false },
	{ "Filter", ACTION_KNOWN | ACTION_OWN, NULL, false },
	{ "GetConfig", ACTION_KNOWN | ACTION_GUARDED, NULL, false },
	{ "GetConfigJSON", ACTION_KNOWN | ACTION_GUARDED, NULL, false },
	{ "Getvar", ACTION_KNOWN | ACTION_FUNCTIONS, NULL, false },
	{ "Hangup", ACTION_KNOWN, "ChannelsHungupListComplete", false },
	{ "IAXnetstats", ACTION_KNOWN | ACTION_NO_ANSWER, NULL, false },
	{ "IAXpeerlist", ACTION_KNOWN, "PeerlistComplete", true },
	{ "IAXpeers", ACTION_KNOWN, "PeerlistComplete", false },
	{ "IAXregistry", ACTION_KNOWN, "RegistrationsComplete", false },
	{ "JabberSend", ACTION_KNOWN, NULL, false },
	{ "KSendSMS", ACTION_KNOWN, NULL, false },
	{ "ListCategories", ACTION_KNOWN | ACTION_GUARDED, NULL, false },
	{ "ListCommands", ACTION_KNOWN, NULL, false },
	{ "LocalOptimizeAway", ACTION_KNOWN, NULL, false },
	{ "LoggerRotate", ACTION_KNOWN | ACTION_GUARDED, NULL, false },
	{ "Login", ACTION_KNOWN | ACTION_OWN, NULL, false },
	{ "Logoff", ACTION_KNOWN | ACTION_OWN, NULL, false },
	{ "MailboxCount", ACTION_KNOWN, NULL, false },
	{ "MailboxStatus", ACTION_KNOWN, NULL, false },
	{ "MeetmeList", ACTION_KNOWN | ACTION_EMPTY_AS_ERROR, "MeetmeListComplete", false },
	{ "MeetmeListRooms", ACTION_KNOWN | ACTION_EMPTY_AS_ERROR, "MeetmeListRoomsComplete", false },
	{ "MeetmeMute", ACTION_KNOWN, NULL, false },
	{ "MeetmeUnmute", ACTION_KNOWN, NULL, false },
	{ "MessageSend", ACTION_KNOWN, NULL, false },
	{ "MixMonitor", ACTION_KNOWN, NULL, false },
	{ "MixMonitorMute", ACTION_KNOWN, NULL, false },
	{ "ModuleCheck", ACTION_KNOWN, NULL, false },
	{ "ModuleLoad", ACTION_KNOWN | ACTION_GUARDED | ACTION_HOLDS_LINE, NULL, false },
	{ "Monitor", ACTION_KNOWN | ACTION_GUARDED, NULL, false },
	{ "MuteAudio", ACTION_KNOWN, NULL, false },
	{ "MWIDelete", ACTION_KNOWN, NULL, false },
	{ "MWIGet", ACTION_KNOWN, NULL, false },
	{ "MWIUpdate", ACTION_KNOWN, NULL, false },
	{ "Originate", ACTION_KNOWN | ACTION_HOLDS_LINE | ACTION_FUNCTIONS, NULL, false },
	{ "Park", ACTION_KNOWN, NULL, false },
	{ "ParkedCalls", ACTION_KNOWN, "ParkedCallsComplete", true },
	{ "Parkinglots", ACTION_KNOWN, "ParkinglotsComplete", true },
	{ "PauseMonitor", ACTION_KNOWN, NULL, false },
	{ "Ping", ACTION_KNOWN, NULL, false },
	{ "PJSIPHangup", ACTION_KNOWN, NULL, false },
	{ "PJSIPNotify", ACTION_KNOWN, NULL, false },
	{ "PJSIPQualify", ACTION_KNOWN, NULL, false },
	{ "PJSIPRegister", ACTION_KNOWN, NULL, false },
	{ "PJSIPShowAors", ACTION_KNOWN | ACTION_EMPTY_AS_ERROR, "AorListComplete", false },
	{ "PJSIPShowAuths", ACTION_KNOWN | ACTION_EMPTY_AS_ERROR, "AuthListComplete", false },
	{ "PJSIPShowContacts", ACTION_KNOWN | ACTION_EMPTY_AS_ERROR, "ContactListComplete", false },
	{ "PJSIPShowEndpoint", ACTION_KNOWN | ACTION_EMPTY_AS_ERROR, "EndpointDetailComplete", false },
	{ "PJSIPShowEndpoints", ACTION_KNOWN | ACTION_EMPTY_AS_ERROR, "EndpointListComplete", false },
	{ "PJSIPShowRegistrationInboundContactStatuses", ACTION_KNOWN | ACTION_EMPTY_AS_ERROR, NULL, false },
	{ "PJSIPShowRegistrationsInbound", ACTION_KNOWN | ACTION_EMPTY_AS_ERROR, "InboundRegistrationDetailComplete", false },
	{ "PJSIPShowRegistrationsOutbound", ACTION_KNOWN | ACTION_EMPTY_AS_ERROR, "OutboundRegistrationDetailComplete", false },
	{ "PJSIPShowResourceLists", ACTION_KNOWN | ACTION_EMPTY_AS_ERROR, "ResourceListDetailComplete", false },
	{ "PJSIPShowSubscriptionsInbound", ACTION_KNOWN | ACTION_EMPTY_AS_ERROR, "InboundSubscriptionDetailComplete", false },
	{ "PJSIPShowSubscriptionsOutbound", ACTION_KNOWN | ACTION_EMPTY_AS_ERROR, "OutboundSubscriptionDetailComplete", false },
	{ "PJSIPUnregister", ACTION_KNOWN, NULL, false },
	{ "PlayDTMF", ACTION_KNOWN, NULL, false },
	{ "PlayMF", ACTION_KNOWN, NULL, false },
	{ "PresenceState", ACTION_KNOWN, NULL, false },
	{ "PresenceStateList", ACTION_KNOWN, "PresenceStateListComplete", false },
	{ "PRIDebugFileSet", ACTION_KNOWN | ACTION_GUARDED, NULL, false },
	{ "PRIDebugFileUnset", ACTION_KNOWN, NULL, false },
	{ "PRIDebugSet", ACTION_KNOWN, NULL, false },
	{ "PRIShowSpans", ACTION_KNOWN, "PRIShowSpansComplete", true },
	{ "QueueAdd", ACTION_KNOWN, NULL, false },
	{ "QueueChangePriorityCaller", ACTION_KNOWN, NULL, false },
	{ "QueueLog", ACTION_KNOWN, NULL, false },
	{ "QueueMemberRingInUse", ACTION_KNOWN, NULL, false },
	{ "QueuePause", ACTION_KNOWN, NULL, false },
	{ "QueuePenalty", ACTION_KNOWN, NULL, false },
	{ "QueueReload", ACTION_KNOWN | ACTION_GUARDED, NULL, false },
	{ "QueueRemove", ACTION_KNOWN, NULL, false },
	{ "QueueReset", ACTION_KNOWN, NULL, false },
	{ "QueueRule", ACTION_KNOWN, NULL, false },
	{ "Queues", ACTION_KNOWN | ACTION_NO_ANSWER, NULL, false },
	{ "QueueStatus", ACTION_KNOWN, "QueueStatusComplete", true },
	{ "QueueSummary", ACTION_KNOWN, "QueueSummaryComplete", true },
	{ "QueueWithdrawCaller", ACTION_KNOWN, NULL, false },
	{ "Redirect", ACTION_KNOWN, NULL, false },
	{ "Reload", ACTION_KNOWN | ACTION_GUARDED | ACTION_HOLDS_LINE, NULL, false },
	{ "SendFlash", ACTION_KNOWN, NULL, false },
	{ "SendText", ACTION_KNOWN, NULL, false },
	{ "Setvar", ACTION_KNOWN | ACTION_FUNCTIONS, NULL, false },
	{ "ShowDialPlan", ACTION_KNOWN, "ShowDialPlanComplete", false },
	{ "SIPnotify", ACTION_KNOWN, NULL, false },
	{ "SIPpeers", ACTION_KNOWN, "PeerlistComplete", false },
	{ "SIPpeerstatus", ACTION_KNOWN, "SIPpeerstatusComplete", true },
	{ "SIPqualifypeer", ACTION_KNOWN, NULL, false },
	{ "SIPshowpeer", ACTION_KNOWN, NULL, false },
	{ "SIPshowregistry", ACTION_KNOWN, "RegistrationsComplete", false },
	{ "SKINNYdevices", ACTION_KNOWN, NULL, false },
	{ "SKINNYlines", ACTION_KNOWN, NULL, false },
	{ "SKINNYshowdevice", ACTION_KNOWN, NULL, false },
	{ "SKINNYshowline", ACTION_KNOWN, NULL, false },
	{ "SorceryMemoryCacheExpire", ACTION_KNOWN, NULL, false },
	{ "SorceryMemoryCacheExpireObject", ACTION_KNOWN, NULL, false },
	{ "SorceryMemoryCachePopulate", ACTION_KNOWN, NULL, false },
	{ "SorceryMemoryCacheStale", ACTION_KNOWN, NULL, false },
	{ "SorceryMemoryCacheStaleObject", ACTION_KNOWN, NULL, false },
	{ "Status", ACTION_KNOWN | ACTION_FUNCTIONS, "StatusComplete", true },
	{ "StopMixMonitor", ACTION_KNOWN, NULL, false },
	{ "StopMonitor", ACTION_KNOWN, NULL, false },
	{ "UnpauseMonitor", ACTION_KNOWN, NULL, false },
	{ "UpdateConfig", ACTION_KNOWN | ACTION_GUARDED, NULL, false },
	{ "UserEvent", ACTION_KNOWN, NULL, false },
	{ "VoicemailBoxSummary", ACTION_KNOWN, "VoicemailBoxDetailComplete", false },
	{ "VoicemailForward", ACTION_KNOWN, NULL, false },
	{ "VoicemailMove", ACTION_KNOWN, NULL, false },
	{ "VoicemailRefresh", ACTION_KNOWN, NULL, false },
	{ "VoicemailRemove", ACTION_KNOWN, NULL, false },
	{ "VoicemailUsersList", ACTION_KNOWN, "VoicemailUserEntryComplete", true },
	{ "VoicemailUserStatus", ACTION_KNOWN, "VoicemailUserDetailComplete", false },
	{ "WaitEvent", ACTION_KNOWN | ACTION_HOLDS_LINE, "WaitEventComplete", false },
};

/* Dialplan functions that read or write the call's own data only: no file, shell, database, network or configuration. */
static const char *const harmless_functions[] = {
	"AGENT", "ARRAY", "BASE64_DECODE", "BASE64_ENCODE", "CALLERID", "CALLERPRES", "CDR", "CDR_PROP", "CHANNEL", "CHANNEL_EXISTS",
	"CHANNELS", "CONFBRIDGE_CHANNELS", "CONFBRIDGE_INFO", "CONNECTEDLINE", "DEVICE_STATE", "DIALGROUP", "EXTENSION_STATE",
	"FAXOPT", "FILTER", "GROUP", "GROUP_COUNT", "GROUP_LIST", "GROUP_MATCH_COUNT", "HASH", "HASHKEYS", "HINT", "IF", "IFTIME", "INC",
	"ISNULL", "LANGUAGE", "LEN", "MAILBOX_EXISTS", "MATH", "MD5", "MUSICCLASS", "PITCH_SHIFT", "PJSIP_AOR", "PJSIP_CONTACT",
	"PJSIP_DIAL_CONTACTS", "PJSIP_ENDPOINT", "PRESENCE_STATE", "QUEUE_MEMBER", "QUEUE_MEMBER_COUNT", "QUEUE_VARIABLES",
	"QUEUE_WAITING_COUNT", "QUOTE", "RAND", "REDIRECTING", "SET", "SIP_HEADER", "SIPPEER", "STRFTIME", "TIMEOUT", "TOLOWER", "TOUPPER",
	"URIDECODE", "URIENCODE", "VOLUME",
};

/* Queues put them into the command line of MixMonitor; also `__MONITOR_EXEC_ARGS` and `SET(MONITOR_EXEC=…)`. */
static const char *const command_variables[] = { "MONITOR_EXEC", "MONITOR_FILENAME", "MONITOR_OPTIONS" };

#define COUNT(array) (sizeof(array) / sizeof *(array))

static int compare_name(struct slice key, const char *name)
{
	size_t i = 0;
	for (; i < key.len && name[i]; i++) {
		int d = (unsigned char)slice_lower(key.ptr[i]) - (unsigned char)slice_lower(name[i]);
		if (d != 0)
			return d;
	}
	return i < key.len ? 1 : name[i] ? -1 : 0;
}

static int compare_action(const void *key, const void *entry)
{
	return compare_name(*(const struct slice *)key, ((const struct action_info *)entry)->name);
}

static int compare_text(const void *key, const void *entry)
{
	return compare_name(*(const struct slice *)key, *(const char *const *)entry);
}

const struct action_info *catalogue_action(struct slice name)
{
	return bsearch(&name, actions, COUNT(actions), sizeof *actions, compare_action);
}

bool catalogue_says_empty(struct slice message)
{
	if (slice_starts_with_nocase(message, SLICE("No active conferences")) ||
	    slice_starts_with_nocase(message, SLICE("No dialplan hints")))
		return true;
	return slice_starts_with_nocase(message, SLICE("No ")) && slice_find(message, SLICE(" found")) > 0 &&
	       slice_find(message, SLICE(" by that name")) < 0;
}

bool catalogue_function_harmless(struct slice variable)
{
	/* Asterisk takes quotes and backslashes away: what they stand in is not the name that is read here. */
	if (memchr(variable.ptr, '"', variable.len) || memchr(variable.ptr, '\\', variable.len))
		return false;
	for (size_t i = 0; i < COUNT(command_variables); i++)
		if (memmem(variable.ptr, variable.len, command_variables[i], strlen(command_variables[i])))
			return false;
	const char *open = memchr(variable.ptr, '(', variable.len);
	if (!open)
		return true;
	struct slice function = slice_trim(slice_make(variable.ptr, (size_t)(open - variable.ptr)));
	/* An argument can call another function: SET(x=${SHELL(…)}). */
	if (memchr(open + 1, '(', variable.len - (size_t)(open + 1 - variable.ptr)) || memchr(variable.ptr, '$', variable.len))
		return false;
	return bsearch(&function, harmless_functions, COUNT(harmless_functions), sizeof *harmless_functions, compare_text);
}

#define NEAREST_MAX 3

void catalogue_nearest_begin(struct catalogue_nearest *nearest)
{
	*nearest = (struct catalogue_nearest){ .distance = NEAREST_MAX + 1 };
}

void catalogue_nearest_try(struct catalogue_nearest *nearest, struct slice name, const char *candidate)
{
	size_t len = strlen(candidate);
	/* Most names are far off by their length alone. */
	if ((len > name.len ? len - name.len : name.len - len) > NEAREST_MAX)
		return;
	unsigned d = slice_distance(name, slice_make(candidate, len));
	if (d >= nearest->distance)
		return;
	nearest->distance = d;
	nearest->name = candidate;
}

const char *catalogue_nearest_action(struct slice name)
{
	struct catalogue_nearest nearest;

	catalogue_nearest_begin(&nearest);
	for (size_t i = 0; i < COUNT(actions); i++)
		catalogue_nearest_try(&nearest, name, actions[i].name);
	return nearest.name;
}

const char *catalogue_originate_reason(struct slice number)
{
	static const struct {
		const char *number, *text;
	} reasons[] = {
		{ "0", "no channel could be made, the number is unknown, or the call was declined" }, /* Q80 */
		{ "1", "hung up before it was answered" },                                            /* Q81 */
		{ "2", "rings at this end" },                                                         /* Q79 */
		{ "3", "not answered in time" },                                                      /* Q82 */
		{ "4", "answered" },                                                                  /* Q83 */
		{ "5", "busy" },                                                                      /* Q84 */
		{ "8", "congestion: no free circuit, or the network rejected the call" },             /* Q85 */
		{ "14", "early media" },                                                              /* Q86 */
	};
	for (size_t i = 0; i < COUNT(reasons); i++)
		if (slice_eq(number, slice_cstr(reasons[i].number)))
			return reasons[i].text;
	return NULL;
}

unsigned catalogue_ami_version(struct slice version)
{
	unsigned parts[2] = { 0, 0 };
	size_t part = 0;
	for (size_t i = 0; i < version.len && part < 2; i++) {
		char c = version.ptr[i];
		if (c == '.')
			part++;
		else if (c >= '0' && c <= '9' && parts[part] < 100)
			parts[part] = parts[part] * 10 + (unsigned)(c - '0');
		else
			return 0;
	}
	return parts[0] * 1000 + parts[1];
}
