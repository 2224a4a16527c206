package postgres

import (
	"cmp"
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/amtp-go/amtp/internal/store"
)

// isFirst is true for a message m that is the first of its sender to an agent. The
// parameter with the agent's id follows it.
const isFirst = `m.class = 2 AND EXISTS (SELECT FROM met t WHERE t.sender = m.sender AND t.message = m.id AND t.agent = `

// meetingRow is an agent that gets a message which makes its sender known.
type meetingRow struct {
	store.Acquaintance
	message int64
}

// queueMeetings stores the acquaintances of agents, in the same order in every batch.
func queueMeetings(b *pgx.Batch, list []meetingRow) {
	if len(list) == 0 {
		return
	}
	slices.SortStableFunc(list, func(a, b meetingRow) int {
		return cmp.Or(cmp.Compare(a.Sender, b.Sender), cmp.Compare(a.Agent, b.Agent))
	})
	b.Queue(`INSERT INTO met (sender, agent, message, domain) SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[]) ON CONFLICT DO NOTHING`,
		column(list, func(m *meetingRow) string { return m.Sender }),
		column(list, func(m *meetingRow) int64 { return int64(m.Agent) }),
		column(list, func(m *meetingRow) int64 { return m.message }),
		column(list, func(m *meetingRow) string { return m.Domain }))
}

// meetings returns the acquaintances of the rows.
func meetings(list []meetingRow) []store.Acquaintance {
	all := make([]store.Acquaintance, len(list))
	for i := range list {
		all[i] = list[i].Acquaintance
	}
	return all
}

// forgetAcquaintances forgets the acquaintances of agents with senders of the domains,
// and reports whether that was all.
func (t *tx) forgetAcquaintances(ctx context.Context, domains []string) (bool, error) {
	n,
		err := t.change(ctx,
		`DELETE FROM met WHERE (sender, agent) IN (SELECT sender, agent FROM met WHERE domain = ANY ($1::text[]) LIMIT $2)`,
		domains, store.MostUnmet)
	if n > 0 {
		t.dir.ForgetMet()
	}
	return n < store.MostUnmet, err
}
