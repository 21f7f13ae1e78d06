#include "control/headers.h"

#include "control/table.h"
#include "view/packed.h"

void headers_value_text(const struct headers *headers, uint32_t i, struct buf *out)
{
	/* Of the engine's own events some values are tables. */
	if (headers->message && message_header_is_table(headers->message, i)) {
		packed_json(headers_value(headers, i), message_header_type(headers->message, i) == MESSAGE_MAP, out);
		return;
	}
	text_clean(out, headers_masked(headers, i));
}
