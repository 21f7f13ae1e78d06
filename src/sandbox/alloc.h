/* The allocator of one Lua state: a cap (P2, P4).
 *
 * Lua answers a refusal with a full collection and asks once more: only the second refusal in a row counts as a failure, and
 * the collection between them is not charged to the rule's time. Large blocks are refused too once the running call is over
 * its deadline: some loops inside of Lua (a chain of __call) end in no other way.
 */
#ifndef SANDBOX_ALLOC_H
#define SANDBOX_ALLOC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ALLOC_STEP 16u                     /* sizes are rounded up to it */
#define ALLOC_CLASSES 129u                 /* blocks up to 2 KiB are kept for reuse: a collection frees hundreds at once */
#ifdef __SANITIZE_ADDRESS__
#define ALLOC_KEPT_MAX 0u                  /* a block that was freed must not be used again unseen */
#else
#define ALLOC_KEPT_MAX (4u * 1024 * 1024)
#endif

struct alloc {
	size_t cap;   /* bytes of the whole state; 0: none */
	size_t used;
	uint64_t refused;         /* allocations refused for good */
	unsigned call_refused;    /* refusals since the running call began; its owner sets it to 0 */
	char place[72];           /* where the rule was at the first one in this call: Lua's own error names no line; likewise */
	size_t last_stack;        /* slots of this call's last block that could be a stack; its owner sets it to 0 */
	uint64_t last_stack_at;   /* monotonic ns then */
	bool asked_twice;         /* the last request was refused, and Lua collects and asks again */
	bool pressed;             /* three quarters of the cap are used: time to collect; its owner clears it */
	void *free_lists[ALLOC_CLASSES]; /* freed blocks by size, for the next of that size */
	size_t kept;              /* bytes in them, at most ALLOC_KEPT_MAX */
	uint64_t fail_at;         /* tests: the n-th allocation from now on fails, and all after it; 0: none */
};

void alloc_init(struct alloc *alloc, size_t cap);
void alloc_close(struct alloc *alloc);
/* Memory outside of Lua that counts like its own. False when the cap forbids it: counted as refused. */
bool alloc_charge(struct alloc *alloc, size_t size);
void alloc_credit(struct alloc *alloc, size_t size);
/* A lua_Alloc; `ud` is the struct alloc. */
void *alloc_lua(void *ud, void *block, size_t old_size, size_t new_size);

#endif
