package sqlite

import (
	"testing"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
)

// TestPurgePlans: no statement of the purge goes through a whole table, so that a round
// costs the same however much is stored.
func TestPurgePlans(t *testing.T) {
	o := openOffice(t, t.TempDir())
	o.fill(10)
	for _, age := range []time.Duration{200, 600} {
		if _, err := o.Purge(t.Context(), gateway.DefaultRetention(), time.Now().Add(age*24*time.Hour), 0,
			5); err != nil {
			t.Fatal(err)
		}
	}
	check := func(c *statements) {
		for sql := range c.prepared {
			for _, step := range plan(t, c, sql) {
				if wrong := badStep(sql, step); wrong != "" {
					t.Errorf("%s: %s\n%s", wrong, step, sql)
				}
			}
		}
	}
	err := o.write(t.Context(), 0, func(w *writer) error {
		check(&w.statements)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for range readerCount {
		r := <-o.readers
		check(&r.statements)
		defer func() { o.readers <- r }()
	}
}

// TestPurgeIsBounded: large bodies take several calls.
func TestPurgeIsBounded(t *testing.T) {
	o := openOffice(t, t.TempDir())
	o.fill(3)
	large := make([]byte, purgeBytes/2+1)
	for i := range large {
		large[i] = ' ' // spaces after the document: parsing them is cheap
	}
	err := o.write(t.Context(), 0, func(w *writer) error {
		_, err := w.exec(`UPDATE message SET body = CAST(body || ? AS BLOB)`, string(large))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var after int64
	for i := range 3 {
		did, err := o.Purge(t.Context(), gateway.DefaultRetention(), time.Now().Add(200*24*time.Hour), after, 500)
		if err != nil || did.Bodies != 1 || did.Done != (i == 2) {
			t.Fatalf("call %d = %+v, %v; want one body, and done at the third", i, did, err)
		}
		after = did.Next
	}
}
