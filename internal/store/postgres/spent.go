package postgres

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
)

// errForgotten is the error of a Tally that ran at the same time as ForgetSpent: it
// cannot tell which name is missing. The caller tries again.
var errForgotten = errors.New("a budget was forgotten while it was used")

// Tally adds to the budgets that all gateways have used. Names are locked in their
// order, so that two gateways wait for each other in one direction only.
func (s *Store) Tally(ctx context.Context, list []gateway.Tally, now time.Time) ([]gateway.Spent, error) {
	order := make([]int, len(list))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int { return strings.Compare(list[i].Name, list[j].Name) })
	names := make([]string, len(list))
	for i, from := range order {
		names[i] = list[from].Name
	}
	return write(ctx, s, func(ctx context.Context, t *tx) ([]gateway.Spent, error) {
		_, err := t.change(ctx,
			`INSERT INTO spent (name, messages, bytes) SELECT name, 0, 0 FROM unnest($1::text[]) u (name) ORDER BY name
			ON CONFLICT DO NOTHING`, names)
		if err != nil {
			return nil, err
		}
		all := make([]gateway.Spent, len(list))
		messages, bytes := make([]int64, 0, len(list)), make([]int64, 0, len(list))
		var was gateway.Spent
		err = t.query(ctx, `SELECT messages, bytes FROM spent WHERE name = ANY ($1::text[]) ORDER BY name FOR UPDATE`,
			[]any{names},
			[]any{&was[0], &was[1]}, func() error {
				at := order[len(messages)]
				all[at] = was.Add(list[at].Cost, store.Micros(now))
				messages, bytes = append(messages, all[at][0]), append(bytes, all[at][1])
				return nil
			})
		if err == nil && len(messages) < len(names) {
			err = errForgotten
		}
		if err != nil {
			return nil, err
		}
		_, err = t.change(ctx, `UPDATE spent SET messages = u.messages, bytes = u.bytes
			FROM unnest($1::text[], $2::bigint[], $3::bigint[]) u (name, messages, bytes) WHERE spent.name = u.name`, names, messages, bytes)
		return all, err
	})
}

// ForgetSpent deletes the budgets that are completely available again.
func (s *Store) ForgetSpent(ctx context.Context, now time.Time) error {
	return s.do(ctx, func(ctx context.Context, t *tx) error {
		_, err := t.change(ctx, `DELETE FROM spent WHERE messages <= $1 AND bytes <= $1`, store.Micros(now))
		return err
	})
}
