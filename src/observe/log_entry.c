#include "observe/log_entry.h"

#include "base/clock.h"
#include "base/utf8.h"
#include "observe/redact.h"

#define NAME_MAX_BYTES 64
/* Names beyond this are not looked through for what makes a secret (a rule's may have megabytes): their values are masked. */
#define NAME_READ_BYTES 256

/* Copies as much as may be; what is left out is added to the entry's `cut`. */
static struct slice take(struct log_builder *builder, struct slice text, size_t max)
{
	size_t space = LOG_RECORD_MAX - builder->used, used;
	char *to = builder->bytes + builder->used;
	size_t len = redact_copy(to, space < max ? space : max, text, &used);

	if (used < text.len) {
		size_t whole = utf8_whole(slice_make(to, len));
		builder->entry.cut += text.len - used + (len - whole);
		len = whole;
	}
	builder->used += len;
	return slice_make(to, len);
}

static bool add_field(struct log_builder *builder, const struct log_field *from)
{
	struct slice name = slice_cstr(from->name);
	struct log_field *field = &builder->fields[builder->entry.count];

	if (builder->entry.count == LOG_FIELDS_MAX || LOG_RECORD_MAX - builder->used < NAME_MAX_BYTES + 1)
		return false;
	*field = *from;
	field->name = take(builder, name, NAME_MAX_BYTES).ptr;
	builder->bytes[builder->used++] = '\0';
	if (name.len > NAME_READ_BYTES || redact_name(name)) {
		field->type = LOG_FIELD_TEXT;
		field->text = SLICE(REDACTED);
	} else if (log_field_has_text(field)) {
		field->text = take(builder, from->text, LOG_TEXT_MAX);
		if (!slice_eq(field->text, from->text))
			field->type = LOG_FIELD_TEXT;
	}
	builder->entry.count++;
	return true;
}

void log_entry_build(struct log_builder *builder, enum log_level level, const char *text,
                     const struct log_field *fields, size_t count)
{
	builder->used = 0;
	builder->entry = (struct log_entry){
		.level = level < LOG_LEVELS ? level : LOG_ERROR,
		.wall_ms = (int64_t)(clock_wall() * 1000),
		.fields = builder->fields,
	};
	builder->entry.text = take(builder, slice_cstr(text ? text : ""), LOG_TEXT_MAX);
	for (size_t i = 0; i < count; i++) {
		const struct log_field *field = &fields[i];
		if (!field->name || (log_field_has_text(field) && !field->text.ptr))
			continue;
		if (!add_field(builder, field))
			builder->entry.cut += strlen(field->name) + (log_field_has_text(field) ? field->text.len : 0);
	}
}

size_t log_entry_size(const struct log_builder *builder)
{
	return builder->entry.count * sizeof(struct log_field) + builder->used;
}

/* Where a byte of the builder stands in the copy; texts that are not in the builder (the mask) are constants. */
static const char *moved(const struct log_builder *builder, const char *bytes, const char *ptr)
{
	uintptr_t from = (uintptr_t)builder->bytes, at = (uintptr_t)ptr;
	return at >= from && at <= from + builder->used ? bytes + (at - from) : ptr;
}

void log_entry_copy(struct log_entry *to, void *memory, const struct log_builder *builder)
{
	struct log_field *fields = memory;
	char *bytes = (char *)(fields + builder->entry.count);

	*to = builder->entry;
	memcpy(bytes, builder->bytes, builder->used);
	to->fields = fields;
	to->text.ptr = moved(builder, bytes, to->text.ptr);
	for (size_t i = 0; i < to->count; i++) {
		fields[i] = builder->fields[i];
		fields[i].name = moved(builder, bytes, fields[i].name);
		if (log_field_has_text(&fields[i]))
			fields[i].text.ptr = moved(builder, bytes, fields[i].text.ptr);
	}
}
