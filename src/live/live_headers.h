/* Headers of events by number. A reader remembers for each event where a header stood last time, so that looking one up
 * rarely costs more than one comparison; and it knows the names that older servers use. */
#ifndef LIVE_HEADERS_H
#define LIVE_HEADERS_H

#include "ami/message.h"

/* Groups of headers that describe a channel bear a prefix. */
enum live_prefix {
	LIVE_PLAIN, LIVE_DEST, LIVE_PARKEE, LIVE_PARKER, LIVE_RETRIEVER, LIVE_TRANSFERER, LIVE_TRANSFEREE, LIVE_ORIG_TRANSFERER,
	LIVE_SECOND_TRANSFERER, LIVE_TRANSFER_TARGET, LIVE_TARGET, LIVE_LOCAL_ONE, LIVE_LOCAL_TWO, LIVE_PREFIXES
};

enum live_channel_header {
	LIVE_H_UNIQUEID, LIVE_H_CHANNEL, LIVE_H_LINKEDID, LIVE_H_STATE, LIVE_H_NUMBER, LIVE_H_NAME, LIVE_H_CONNECTED_NUMBER,
	LIVE_H_CONNECTED_NAME, LIVE_H_ACCOUNT, LIVE_H_CONTEXT, LIVE_H_EXTEN, LIVE_CHANNEL_HEADERS
};

/* The headers that describe no channel. */
#define LIVE_HEADER_LIST(X) \
	X(ACTION_ID, "ActionID") X(ADMIN, "Admin") X(AOR, "AOR") X(APPLICATION, "Application") X(APP_DATA, "AppData") \
	X(BRIDGE_CREATOR, "BridgeCreator") X(BRIDGED_UNIQUEID, "BridgedUniqueID") X(BRIDGE_ID, "BridgeId") \
	X(BRIDGE_NAME, "BridgeName") X(BRIDGE_STATE, "Bridgestate") X(BRIDGE_TECHNOLOGY, "BridgeTechnology") \
	X(BRIDGE_TYPE, "BridgeType") X(BRIDGE_UNIQUEID, "BridgeUniqueid") X(CALLS_TAKEN, "CallsTaken") X(CAUSE, "Cause") \
	X(CAUSE_TEXT, "Cause-txt") X(CHANNEL_1, "Channel1") X(CHANNEL_2, "Channel2") X(CHANNEL_TYPE, "ChannelType") \
	X(CLONE, "Clone") X(CONFERENCE, "Conference") X(CONTACT_STATUS, "ContactStatus") X(COUNT, "Count") \
	X(DEST_BRIDGE, "DestBridgeUniqueid") X(DESTINATION, "Destination") X(DEST_TYPE, "DestType") X(DEVICE, "Device") \
	X(DIAL_STATUS, "DialStatus") X(DIAL_STRING, "DialString") X(DURATION, "Duration") X(ENDPOINT_NAME, "EndpointName") \
	X(EXTENSION, "Extension") X(FORWARD, "Forward") X(FROM, "From") X(HOLD_TIME, "HoldTime") \
	X(IN_CALL, "InCall") X(IS_IN_CALL, "IsInCall") X(BRIDGED_CHANNEL, "BridgedChannel") X(DESTINATION_CHANNEL, "DestinationChannel") X(INTERFACE, "Interface") X(IP_ADDRESS, "IPaddress") X(LAST_CALL, "LastCall") X(LAST_PAUSE, "LastPause") \
	X(LOCATION, "Location") X(LOCKED, "Locked") X(LOGIN_TIME, "LoginTime") X(MAILBOX, "Mailbox") X(MARKED, "Marked") \
	X(MARKED_USER, "MarkedUser") X(MAX, "Max") X(MEMBER, "Member") X(MEMBER_NAME, "MemberName") X(MEMBERSHIP, "Membership") \
	X(MEETME, "Meetme") X(MUTED, "Muted") X(NEW, "New") X(NEW_NAME, "Newname") X(OBJECT_NAME, "ObjectName") X(OLD, "Old") X(ORIGINAL, "Original") \
	X(PARKER_DIAL_STRING, "ParkerDialString") X(PARKING_DURATION, "ParkingDuration") X(PARKING_LOT, "Parkinglot") \
	X(PARKING_SPACE, "ParkingSpace") X(PARKING_TIMEOUT, "ParkingTimeout") X(PAUSED, "Paused") X(PAUSED_REASON, "PausedReason") \
	X(PEER, "Peer") X(PEER_STATUS, "PeerStatus") X(PENALTY, "Penalty") X(POSITION, "Position") X(PRIORITY, "Priority") \
	X(QUEUE, "Queue") X(REASON, "Reason") X(RESPONSE, "Response") X(RESULT, "Result") X(ROUND_TRIP, "RoundtripUsec") \
	X(SOURCE, "Source") X(SRC_UNIQUEID, "SrcUniqueID") X(STATE_INTERFACE, "StateInterface") X(STATE_NAME, "State") X(STATUS, "Status") \
	X(STRATEGY, "Strategy") X(SUB_EVENT, "SubEvent") X(SWAP_UNIQUEID, "SwapUniqueid") X(TALKING, "Talking") \
	X(TALKING_STATUS, "TalkingStatus") X(TALK_TIME, "TalkTime") X(TARGET_UNIQUE, "TargetUniqueid") X(TIME, "Time") X(TIMEOUT, "Timeout") \
	X(UNIQUEID_1, "Uniqueid1") X(UNIQUEID_2, "Uniqueid2") X(UPTIME, "Uptime") X(URI, "URI") X(VALUE, "Value") \
	X(VARIABLE, "Variable") X(WAIT, "Wait") X(WAIT_MARKED, "WaitMarked") X(WAITING, "Waiting") X(WRAPUP_TIME, "Wrapuptime") \
	X(USER_MUTED, "MutedUser") X(LOCAL_ONE_NAME, "LocalOneChannel") X(BRIDGE_CHANNELS, "BridgeNumChannels") X(CHANNEL_OBJECT, "Channeltype") \
	X(END_STATUS, "EndStatus")

#define LIVE_HEADER_ENUM(id, text) LIVE_H_##id,
enum live_header {
	LIVE_H_FIRST = LIVE_PREFIXES * LIVE_CHANNEL_HEADERS - 1, /* before it: prefix * LIVE_CHANNEL_HEADERS + channel header */
	LIVE_HEADER_LIST(LIVE_HEADER_ENUM)
	LIVE_HEADERS
};

struct live_headers {
	/* For each event that is known by number the place where each header stood last time; made when first needed. */
	uint8_t **places;
	uint32_t events;
};

struct live_reader {
	const struct message *message;
	uint8_t *places; /* [LIVE_HEADERS] */
};

void live_headers_close(struct live_headers *headers);
/* A reader of a message of the kind `event` (a small number of the caller's). */
struct live_reader live_headers_read(struct live_headers *headers, uint32_t event, const struct message *message);
/* The first header of that name; an empty slice when it is absent, empty, or one of the words for nothing: "<unknown>",
 * "<none>", "(null)", "<null>". */
struct slice live_headers_get(const struct live_reader *reader, unsigned header);
static inline struct slice live_headers_of(const struct live_reader *reader, enum live_prefix prefix, enum live_channel_header header)
{
	return live_headers_get(reader, (unsigned)prefix * LIVE_CHANNEL_HEADERS + header);
}
/* Whether it is there at all. */
bool live_headers_has(const struct live_reader *reader, unsigned header);
/* Its integer, or `otherwise`. */
int64_t live_headers_int(const struct live_reader *reader, unsigned header, int64_t otherwise);
/* 1, yes, true, on. */
bool live_headers_true(const struct live_reader *reader, unsigned header);
/* The interface of a queue's member: Interface, before Asterisk 12 Location, before that Member. */
struct slice live_headers_interface(const struct live_reader *reader);
/* Its name: MemberName, in lists Name. */
struct slice live_headers_member_name(const struct live_reader *reader);

#endif
