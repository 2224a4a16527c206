package postgres

import (
	"context"
	"strconv"
	"strings"

	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/store"
)

// Search finds messages of an agent by their words.
func (s *Store) Search(ctx context.Context, by gateway.Acting, f gateway.SearchFilter) (page gateway.SearchPage,
	err error) {
	release, err := s.searches.Take(ctx, s.dir.Caller(by))
	if err != nil {
		return page, err
	}
	defer release()
	if !f.From.IsZero() { // so that the list has every agent that had the address
		if err := s.catchUp(ctx); err != nil {
			return page, err
		}
	}
	var found []recordRow
	reader := gateway.Reader{Agent: by.Agent, Key: by.Key}
	err = s.snapshot(ctx, func(ctx context.Context, c conn) (err error) {
		c = c.by(by)
		var rows []int64
		limited, cancel := context.WithTimeout(ctx, s.searchTime)
		defer cancel()
		if rows, page, err = s.searchPage(limited, c, by, &f); err != nil {
			if ctx.Err() == nil && limited.Err() != nil {
				return gateway.ErrSlow
			}
			return err
		}
		if page.Behind, err = c.behindIndex(ctx, by.Agent); err == nil {
			found, err = c.records(ctx, reader, rows, true)
		}
		return err
	})
	if err != nil {
		return gateway.SearchPage{}, err
	}
	list, err := s.records(ctx, found)
	if err != nil {
		return gateway.SearchPage{}, err
	}
	for _, r := range list {
		page.Messages = append(page.Messages, store.NewFound(r, f.Query))
	}
	return page, nil
}

// proposed finds messages in the index. Its ORDER BY is one that no index has. Otherwise a
// server that expects the words in nearly all rows would go through the rows by their
// numbers, and there may be a million.
const proposed = `SELECT message FROM search WHERE words @@ $1::tsquery AND message < $2 ORDER BY message + 0 DESC LIMIT $3`

// searchPage returns the rows on a page, and the page without its messages.
func (s *Store) searchPage(ctx context.Context, c conn, by gateway.Acting, f *gateway.SearchFilter) (rows []int64,
	page gateway.SearchPage, err error) {
	expression := matching(by.Agent, f)
	lookup := store.Lookup{
		Bounds: s.bounds,
		Index: func(before int64, limit int) ([]int64, error) {
			return c.numbers(ctx, proposed, expression, before, limit)
		},
		Match: func(rows []int64) ([]bool, error) { return c.found(ctx, by, f, rows) },
		Sizes: func(rows []int64) (map[int64]int, error) { return c.bodySizes(ctx, rows) },
	}
	if !f.From.IsZero() {
		lookup.From = c.series(ctx, s.dir, gateway.Reader{Everyone: true}, gateway.MessageFilter{Sender: f.From})
	}
	if !f.Since.IsZero() {
		if lookup.Floor, err = c.floor(ctx, f.Since); err != nil {
			return nil, page, err
		}
	}
	return lookup.Page(f)
}

// found reports which of the messages that the index proposes are found.
func (c conn) found(ctx context.Context, by gateway.Acting, f *gateway.SearchFilter, rows []int64) ([]bool, error) {
	is := make(map[int64]bool, len(rows))
	var one store.Candidate
	var id int64
	var uuid, thread []byte
	err := c.query(ctx, `SELECT m.id, coalesce(m.sender_agent = $2, false) OR d.seq IS NOT NULL, m.body IS NOT NULL, m.received, m.uuid,
			CASE WHEN m.sender_agent = $2 THEN m.thread ELSE d.thread END FROM message m
			LEFT JOIN LATERAL (SELECT seq, thread FROM delivery WHERE message = m.id AND agent = $2 LIMIT 1) d ON true
			WHERE m.id = ANY ($1::bigint[])`, []any{rows, int64(by.Agent)},
		[]any{&id, &one.Own, &one.Body, &one.Received, &uuid, &thread}, func() error {
			one.ID = store.MessageID(uuid)
			one.Thread = store.Thread(string(thread), one.ID)
			is[id] = one.Found(f)
			return nil
		})
	found := make([]bool, len(rows))
	for i, row := range rows {
		found[i] = is[row]
	}
	return found, err
}

// matching returns the terms of a search as a tsquery. Its words have no character that
// means anything between quotation marks.
func matching(owner gateway.AgentID, f *gateway.SearchFilter) string {
	var b strings.Builder
	b.WriteString(lexeme(store.OwnerMark + strconv.FormatInt(int64(owner), 10)))
	terms := f.Query
	if f.Schema != "" {
		terms = append(terms[:len(terms):len(terms)], store.SchemaTerm(f.Schema))
	}
	for _, t := range terms {
		b.WriteString(" & (")
		for i, word := range t.Words {
			if i > 0 {
				b.WriteString(" <-> ")
			}
			b.WriteString(lexeme(word))
		}
		if t.Prefix {
			b.WriteString(":*")
		}
		b.WriteString(")")
	}
	return b.String()
}

func lexeme(word string) string { return "'" + word + "'" }

// vector returns a document as a tsvector, with the places of its words.
func vector(d *store.SearchDocument) string {
	places := make(map[string][]byte, len(d.Words))
	for i, word := range d.Words {
		if word == store.NoWord {
			continue
		}
		separator := byte(',')
		if places[word] == nil {
			separator = ':'
		}
		places[word] = strconv.AppendInt(append(places[word], separator), int64(i+1), 10)
	}
	var b strings.Builder
	b.WriteString(lexeme(store.SchemaWord(d.Schema)))
	for _, owner := range d.Owners {
		b.WriteString(" " + lexeme(store.OwnerMark+strconv.FormatInt(owner, 10)))
	}
	for word, at := range places {
		b.WriteString(" " + lexeme(word))
		b.Write(at)
	}
	return b.String()
}
