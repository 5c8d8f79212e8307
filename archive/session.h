/* SPDX-License-Identifier: MIT */
#ifndef ARCHIVE_SESSION_H
#define ARCHIVE_SESSION_H

/*
 * A writer at work (design section 8, rules 1 to 3). Order: draw the
 * snapshot's id and key; put its wrap, so that who sees the session can open
 * it and end it; PUT sessions/<id>; only when that is acknowledged read
 * prune/, the forget marks and the index, afresh. The end is one create-only
 * PUT of snapshots/<id>: the snapshot, or a void.
 *
 * A session belongs to one thread, but session_pack_banned() may be called by
 * any between begin and free.
 */

#include "archive/snapset.h"
#include "catalog/catalog.h"

struct session {
	struct repo *repo;
	struct catalog *catalog; /* borrowed */
	struct id id;
	uint8_t key[FORMAT_KEY_LEN];
	int64_t skew;       /* store's clock minus the host's, ns; 0 when the store tells none or it is under 2 s */
	int64_t store_date; /* of the session's reply */
	const struct snapset *set; /* as seen after the session was acknowledged */
	struct id *banned;         /* packs in a verdict or an undecided condemned list: never referred to. Sorted. */
	size_t banned_count;
	struct buf sealed; /* private: the snapshot's object once it was made. A second try puts the same bytes. */
};

/*
 * Begins: wrap of the coming snapshot put, session object put, then prune lists, snapshots and marks and the index
 * read, at the same time where the store is remote. `catalog` is brought up to the index; what lies in packs that a
 * verdict names leaves it. ERR_DENIED: this key may not write `dataset`.
 */
int session_begin(struct repo *repo, struct catalog *catalog, const char *dataset, struct session **ret_session,
	struct error *err);
/* May nothing in this pack be referred to? */
bool session_pack_banned(const struct session *s, const struct id *pack);
/*
 * Completes `snapshot` (id, name, number, times, slot, seq, previous, seen), signs it and creates snapshots/<id>.
 * Then removes sessions/<id>. ERR_VOID: a pruner ended the session; begin anew, what was stored is taken up. After
 * another failure of the store the snapshot may exist or not; calling again puts the very same snapshot.
 */
int session_commit(struct session *s, struct snapshot *snapshot, struct error *err);
/* Ends without a snapshot: creates the void, removes the session. Best effort: an error is returned but nothing is
 * held. */
int session_abandon(struct session *s, struct error *err);
void session_free(struct session *s); /* NULL is a no-op */

#endif
