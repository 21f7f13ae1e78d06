#include "rules/picture_hold.h"

#include <stdlib.h>

#include "base/mem.h"
#include "rules/handle.h"
#include "rules/picture_internal.h"

struct hold {
	struct list of_holder;
	struct live_object *object; /* NULL: the picture was turned off */
};

struct picture_holder {
	struct list of_picture;
	struct picture *picture;
	struct list holds;
	struct handle_table handles;
	atomic_bool left;
};

struct picture_holder *picture_holder_open(struct picture *p)
{
	struct picture_holder *h = mem_zalloc(sizeof *h);
	h->picture = p;
	list_init(&h->holds);
	list_append(&p->holders, &h->of_picture);
	return h;
}

static void free_hold(struct hold *hold)
{
	list_remove(&hold->of_holder);
	live_release(&hold->object);
	free(hold);
}

void picture_holder_close(struct picture_holder **holder)
{
	struct picture_holder *h = *holder;
	if (!h)
		return;
	*holder = NULL;
	list_each_safe(it, &h->holds)
		free_hold(list_entry(it, struct hold, of_holder));
	handle_close(&h->handles);
	list_remove(&h->of_picture);
	free(h);
}

void picture_holder_leave(struct picture_holder **holder)
{
	struct picture_holder *h = *holder;
	if (!h)
		return;
	*holder = NULL;
	struct picture *p = h->picture;
	/* From here on the loop may free it. */
	atomic_store(&h->left, true);
	atomic_store(&p->left, true);
}

uint64_t picture_hold(struct picture_holder *h, struct live_object *object)
{
	struct hold *hold = mem_zalloc(sizeof *hold);
	hold->object = object;
	live_retain(object);
	list_append(&h->holds, &hold->of_holder);
	return handle_add(&h->handles, hold);
}

struct live_object *picture_held(const struct picture_holder *h, uint64_t handle)
{
	const struct hold *hold = handle_get(&h->handles, handle);
	return hold ? hold->object : NULL;
}

void picture_drop(struct picture_holder *h, uint64_t handle)
{
	struct hold *hold = handle_get(&h->handles, handle);
	if (!hold)
		return;
	handle_remove(&h->handles, handle);
	free_hold(hold);
}

void picture_holders_sweep(struct picture *p)
{
	/* Asked in every turn: the plain look is the cheap one. */
	if (!atomic_load_explicit(&p->left, memory_order_relaxed) || !atomic_exchange(&p->left, false))
		return;
	list_each_safe(it, &p->holders) {
		struct picture_holder *h = list_entry(it, struct picture_holder, of_picture);
		if (atomic_load(&h->left))
			picture_holder_close(&h);
	}
}

void picture_holders_clear(struct picture *p)
{
	list_each(it, &p->holders) {
		struct picture_holder *h = list_entry(it, struct picture_holder, of_picture);
		list_each(at, &h->holds)
			live_release(&list_entry(at, struct hold, of_holder)->object);
	}
}
