#include "ami/catalogue.h"

#include <stdlib.h>

#include "ami/event_mask.h"

enum {
	SYSTEM = EVENT_SYSTEM, CALL = EVENT_CALL, AGENT = EVENT_AGENT, USER = EVENT_USER, DTMF = EVENT_DTMF, REPORTING = EVENT_REPORTING,
	CDR = EVENT_CDR, DIALPLAN = EVENT_DIALPLAN, AGI = EVENT_AGI, CC = EVENT_CC, AOC = EVENT_AOC, TEST = EVENT_TEST,
	SECURITY = EVENT_SECURITY,
	ITEM = 0 /* of a list: no mask holds it back */
};

/* Sorted by name without case, for bsearch. The classes are those of Asterisk's source, 1.8 to master: of all versions where they
 * differ (Newexten was of the class call up to 11). */
static const struct event_info {
	const char *name;
	uint32_t classes;
} events[] = {
	{ "AgentCalled", AGENT }, { "AgentComplete", AGENT }, { "AgentConnect", AGENT }, { "AgentDump", AGENT },
	{ "AgentLogin", AGENT }, { "AgentLogoff", AGENT }, { "AgentRingNoAnswer", AGENT }, { "Agents", ITEM },
	{ "AgentsComplete", ITEM }, { "AGIExec", AGI }, { "AGIExecEnd", AGI }, { "AGIExecStart", AGI }, { "Alarm", SYSTEM },
	{ "AlarmClear", SYSTEM }, { "AOC-D", AOC }, { "AOC-E", AOC }, { "AOC-S", AOC }, { "AorDetail", ITEM }, { "AorList", ITEM },
	{ "AorListComplete", ITEM }, { "AsyncAGI", AGI }, { "AsyncAGIEnd", AGI }, { "AsyncAGIExec", AGI }, { "AsyncAGIStart", AGI },
	{ "AttendedTransfer", CALL }, { "AuthDetail", ITEM }, { "AuthList", ITEM }, { "AuthListComplete", ITEM },
	{ "AuthMethodNotAllowed", SECURITY }, { "BlindTransfer", CALL }, { "Bridge", CALL }, { "BridgeAction", CALL },
	{ "BridgeCreate", CALL }, { "BridgeDestroy", CALL }, { "BridgeEnter", CALL }, { "BridgeExec", CALL },
	{ "BridgeInfoChannel", ITEM }, { "BridgeInfoComplete", ITEM }, { "BridgeLeave", CALL }, { "BridgeListComplete", ITEM },
	{ "BridgeListItem", ITEM }, { "BridgeMerge", CALL }, { "BridgeTechnologyListComplete", ITEM },
	{ "BridgeTechnologyListItem", ITEM }, { "BridgeVideoSourceUpdate", CALL }, { "CCAvailable", CC }, { "CCCallerRecalling", CC },
	{ "CCCallerStartMonitoring", CC }, { "CCCallerStopMonitoring", CC }, { "CCFailure", CC }, { "CCMonitorFailed", CC },
	{ "CCOfferTimerStart", CC }, { "CCRecallComplete", CC }, { "CCRequestAcknowledged", CC }, { "CCRequested", CC }, { "Cdr", CDR },
	{ "CEL", CALL | EVENT_BULK }, { "ChallengeResponseFailed", SECURITY }, { "ChallengeSent", SECURITY }, { "ChannelHungup", ITEM },
	{ "ChannelReload", SYSTEM }, { "ChannelsHungupListComplete", ITEM }, { "ChannelTalkingStart", CALL },
	{ "ChannelTalkingStop", CALL }, { "ChannelUpdate", SYSTEM }, { "ChanSpyStart", CALL }, { "ChanSpyStop", CALL },
	{ "ConfbridgeEnd", CALL }, { "ConfbridgeJoin", CALL }, { "ConfbridgeLeave", CALL }, { "ConfbridgeList", ITEM },
	{ "ConfbridgeListComplete", ITEM }, { "ConfbridgeListRooms", ITEM }, { "ConfbridgeListRoomsComplete", ITEM },
	{ "ConfbridgeMute", CALL }, { "ConfbridgeRecord", CALL }, { "ConfbridgeStart", CALL }, { "ConfbridgeStopRecord", CALL },
	{ "ConfbridgeTalking", CALL }, { "ConfbridgeUnmute", CALL }, { "ContactList", ITEM }, { "ContactListComplete", ITEM },
	{ "ContactStatus", SYSTEM }, { "ContactStatusDetail", ITEM }, { "CoreShowChannel", ITEM },
	{ "CoreShowChannelMapComplete", ITEM }, { "CoreShowChannelsComplete", ITEM }, { "DAHDIChannel", SYSTEM | CALL },
	{ "DAHDIShowChannels", ITEM }, { "DAHDIShowChannelsComplete", ITEM }, { "DBGetComplete", ITEM }, { "DBGetResponse", ITEM },
	{ "DBGetTreeComplete", ITEM }, { "DBGetTreeResponse", ITEM }, { "DeadlockStart", SYSTEM }, { "DeviceStateChange", CALL },
	{ "DeviceStateListComplete", ITEM }, { "Dial", CALL }, { "DialBegin", CALL }, { "DialEnd", CALL }, { "DialState", CALL },
	{ "DNDState", SYSTEM }, { "DTMF", DTMF }, { "DTMFBegin", DTMF }, { "DTMFEnd", DTMF }, { "EndpointDetail", ITEM },
	{ "EndpointDetailComplete", ITEM }, { "EndpointList", ITEM }, { "EndpointListComplete", ITEM },
	{ "ExtensionStateListComplete", ITEM }, { "ExtensionStatus", CALL }, { "FailedACL", SECURITY }, { "FAXSession", ITEM },
	{ "FAXSessionsComplete", ITEM }, { "FAXSessionsEntry", ITEM }, { "FAXStats", ITEM }, { "FAXStatus", CALL }, { "Flash", CALL },
	{ "FullyBooted", SYSTEM }, { "Hangup", CALL }, { "HangupHandlerPop", DIALPLAN }, { "HangupHandlerPush", DIALPLAN },
	{ "HangupHandlerRun", DIALPLAN }, { "HangupRequest", CALL }, { "Hold", CALL }, { "IdentifyDetail", ITEM },
	{ "InboundRegistrationDetail", ITEM }, { "InboundRegistrationDetailComplete", ITEM }, { "InboundSubscriptionDetail", ITEM },
	{ "InboundSubscriptionDetailComplete", ITEM }, { "InvalidAccountID", SECURITY }, { "InvalidPassword", SECURITY },
	{ "InvalidTransport", SECURITY }, { "JabberEvent", USER }, { "JabberStatus", USER }, { "JitterBufStats", REPORTING },
	{ "Join", CALL }, { "Leave", CALL }, { "Link", CALL }, { "ListDialplan", ITEM }, { "Load", SYSTEM },
	{ "LoadAverageLimit", SECURITY }, { "LocalBridge", CALL }, { "LocalOptimizationBegin", CALL }, { "LocalOptimizationEnd", CALL },
	{ "LogChannel", SYSTEM }, { "Masquerade", CALL }, { "MCID", CALL }, { "MeetmeEnd", CALL }, { "MeetmeJoin", CALL },
	{ "MeetmeLeave", CALL }, { "MeetmeList", ITEM }, { "MeetmeListComplete", ITEM }, { "MeetmeListRooms", ITEM },
	{ "MeetmeListRoomsComplete", ITEM }, { "MeetmeMute", CALL }, { "MeetmeTalking", CALL }, { "MeetmeTalkRequest", CALL },
	{ "MemoryLimit", SECURITY }, { "MessageWaiting", CALL }, { "MiniVoiceMail", CALL }, { "MixMonitorMute", CALL },
	{ "MixMonitorStart", CALL }, { "MixMonitorStop", CALL }, { "MobileStatus", SYSTEM }, { "ModuleLoadReport", SYSTEM },
	{ "MonitorStart", CALL }, { "MonitorStop", CALL }, { "MusicOnHold", CALL }, { "MusicOnHoldStart", CALL },
	{ "MusicOnHoldStop", CALL }, { "MWIGet", ITEM }, { "MWIGetComplete", ITEM }, { "NewAccountCode", CALL },
	{ "NewCallerid", CALL }, { "Newchannel", CALL }, { "NewConnectedLine", CALL }, { "Newexten", CALL | DIALPLAN },
	{ "NewPeerAccount", CALL }, { "Newstate", CALL }, { "OriginateResponse", CALL }, { "OutboundRegistrationDetail", ITEM },
	{ "OutboundRegistrationDetailComplete", ITEM }, { "OutboundSubscriptionDetail", ITEM },
	{ "OutboundSubscriptionDetailComplete", ITEM }, { "ParkedCall", CALL }, { "ParkedCallGiveUp", CALL },
	{ "ParkedCallsComplete", ITEM }, { "ParkedCallSwap", CALL }, { "ParkedCallTimeOut", CALL }, { "Parkinglot", ITEM },
	{ "ParkinglotsComplete", ITEM }, { "PeerEntry", ITEM }, { "PeerlistComplete", ITEM }, { "PeerStatus", SYSTEM },
	{ "Pickup", CALL }, { "PJSIPMaintenanceStatus", SYSTEM }, { "PresenceStateChange", CALL },
	{ "PresenceStateListComplete", ITEM }, { "PresenceStatus", CALL }, { "QueueCallerAbandon", AGENT },
	{ "QueueCallerJoin", AGENT }, { "QueueCallerLeave", AGENT }, { "QueueEntry", ITEM }, { "QueueMember", ITEM },
	{ "QueueMemberAdded", AGENT }, { "QueueMemberPause", AGENT }, { "QueueMemberPaused", AGENT }, { "QueueMemberPenalty", AGENT },
	{ "QueueMemberRemoved", AGENT }, { "QueueMemberRinginuse", AGENT }, { "QueueMemberStatus", AGENT }, { "QueueParams", ITEM },
	{ "QueueStatusComplete", ITEM }, { "QueueSummary", ITEM }, { "QueueSummaryComplete", ITEM }, { "ReceiveFAX", CALL },
	{ "RegistrationEntry", ITEM }, { "RegistrationsComplete", ITEM }, { "Registry", SYSTEM }, { "Reload", SYSTEM },
	{ "Rename", CALL }, { "RequestBadFormat", SECURITY }, { "RequestNotAllowed", SECURITY }, { "RequestNotSupported", SECURITY },
	{ "ResourceListDetail", ITEM }, { "ResourceListDetailComplete", ITEM }, { "RTCPReceived", REPORTING },
	{ "RTCPSent", REPORTING }, { "SendFAX", CALL }, { "SessionLimit", SECURITY }, { "SessionTimeout", CALL },
	{ "ShowDialPlanComplete", ITEM }, { "Shutdown", SYSTEM }, { "SIPpeerstatusComplete", ITEM }, { "SIPQualifyPeerDone", CALL },
	{ "SoftHangupRequest", CALL }, { "SpanAlarm", SYSTEM }, { "SpanAlarmClear", SYSTEM }, { "Status", ITEM },
	{ "StatusComplete", ITEM }, { "SuccessfulAuth", SECURITY }, { "TestEvent", REPORTING | TEST }, { "Transfer", CALL },
	{ "TransportDetail", ITEM }, { "UnexpectedAddress", SECURITY }, { "Unhold", CALL }, { "Unlink", CALL }, { "Unload", SYSTEM },
	{ "UnParkedCall", CALL }, { "UserEvent", USER }, { "VarSet", DIALPLAN | EVENT_BULK },
	{ "VoicemailPasswordChange", SYSTEM | USER }, { "VoicemailUserDetail", ITEM }, { "VoicemailUserEntry", ITEM },
	{ "VoicemailUserEntryComplete", ITEM }, { "WaitEventComplete", ITEM }, { "Wink", CALL },
};
#define COUNT (sizeof events / sizeof *events)
_Static_assert(COUNT <= CATALOGUE_EVENTS_MAX, "sets of events are smaller than the table");

static int compare_event(const void *key, const void *entry)
{
	const struct slice *name = key;
	const char *known = ((const struct event_info *)entry)->name;

	for (size_t i = 0; i < name->len; i++) {
		int d = (unsigned char)slice_lower(name->ptr[i]) - (unsigned char)slice_lower(known[i]);
		if (d != 0 || !known[i])
			return d;
	}
	return known[name->len] ? -1 : 0;
}

static const struct event_info *find(struct slice name)
{
	return bsearch(&name, events, COUNT, sizeof *events, compare_event);
}

bool catalogue_event(struct slice name)
{
	return find(name);
}

uint32_t catalogue_event_classes(struct slice name)
{
	const struct event_info *event = find(name);
	return event ? event->classes : EVENT_CLASSES_ALL;
}

uint32_t catalogue_events_classes(struct slice glob)
{
	char lower[CATALOGUE_NAME_MAX];
	uint32_t classes = 0;
	bool any = false;

	for (size_t i = 0; i < COUNT; i++) {
		size_t len = strlen(events[i].name);
		for (size_t k = 0; k < len; k++)
			lower[k] = slice_lower(events[i].name[k]);
		if (!slice_glob(glob, slice_make(lower, len)))
			continue;
		any = true;
		classes |= events[i].classes;
	}
	return any ? classes : EVENT_CLASSES_ALL;
}

int catalogue_event_number(struct slice name)
{
	const struct event_info *event = find(name);
	return event ? (int)(event - events) : -1;
}

uint32_t catalogue_event_number_classes(int number)
{
	return (size_t)number < COUNT ? events[number].classes : 0;
}

const char *catalogue_nearest_event(struct slice name)
{
	struct catalogue_nearest nearest;

	catalogue_nearest_begin(&nearest);
	for (size_t i = 0; i < COUNT; i++)
		catalogue_nearest_try(&nearest, name, events[i].name);
	return nearest.name;
}
