package certificate

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/privateca"
)

// pair is two files that change.
type pair struct {
	t         *testing.T
	dir       string
	cert, key string
	ca        *privateca.Authority
}

func newPair(t *testing.T) *pair {
	t.Helper()
	dir := t.TempDir()
	ca, err := privateca.New(filepath.Join(dir, "ca.pem"))
	must(t, "authority", err)
	p := &pair{t: t, dir: dir, cert: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem"), ca: ca}
	p.renew()
	return p
}

// next makes another certificate and returns its files' contents.
func (p *pair) next() (cert, key []byte) {
	p.t.Helper()
	c, k, err := p.ca.Certificate(p.dir, "amtp.shop.example")
	must(p.t, "certificate", err)
	cert, err = os.ReadFile(c)
	must(p.t, "read", err)
	key, err = os.ReadFile(k)
	must(p.t, "read", err)
	return cert, key
}

func (p *pair) renew() {
	p.t.Helper()
	cert, key := p.next()
	p.write(p.cert, cert)
	p.write(p.key, key)
}

func (p *pair) write(name string, b []byte) {
	p.t.Helper()
	must(p.t, "write", os.WriteFile(name, b, 0o600))
}

func serial(s Source) string { return s.List().Certificates[0].Serial }

// TestFileRenewed: a new pair is used at the next check. A half-written pair is read
// again later, and a broken one changes only the reported error.
func TestFileRenewed(t *testing.T) {
	p := newPair(t)
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		f, err := OpenFile(p.cert, p.key, time.Now, slog.New(slog.NewTextHandler(&log, nil)))
		must(t, "open", err)
		go f.Run(t.Context())
		look := func() {
			time.Sleep(lookEvery)
			synctest.Wait()
		}
		first := serial(f)
		p.renew()
		look()
		second := serial(f)
		if second == first {
			t.Fatal("a new pair is not used at the next look")
		}

		cert, key := p.next()
		p.write(p.cert, cert)
		look()
		if c := f.List().Certificates[0]; c.Serial != second || c.Error != "" {
			t.Errorf("half of a new pair: got %s with error %q, want the former without", c.Serial, c.Error)
		}
		p.write(p.key, key)
		look()
		third := serial(f)
		if third == second {
			t.Error("the second half came and is not used")
		}

		p.write(p.cert, []byte("no certificate"))
		for range 5 {
			look()
		}
		c := f.List().Certificates[0]
		if c.Serial != third || c.State != admin.CertificateValid || c.Error == "" || c.ErrorAt.IsZero() {
			t.Errorf("a broken pair: got %+v, want the former with the error", c)
		}
		if n := strings.Count(log.String(), "cannot be read again"); n != 1 {
			t.Errorf("a broken pair was logged %d times, want once:\n%s", n, &log)
		}
		if shown, err := f.Certificate(nil); err != nil || shown == nil {
			t.Errorf("with a broken pair a caller is shown %v, %v, want the former", shown, err)
		}
		must(t, "remove", os.Remove(p.cert))
		if _, err := f.Renew(t.Context(), false); err == nil {
			t.Error("renew without a file: got no error")
		}
		p.write(p.cert, cert)
		if changed, err := f.Renew(t.Context(), false); changed || err != nil {
			t.Errorf("the former pair is back: got %t, %v, want no change and no error", changed, err)
		}
		if c := f.List().Certificates[0]; c.Error != "" {
			t.Errorf("after the repair: got error %q, want none", c.Error)
		}
	})
}

// TestFileExpired: an expired certificate does not replace one that works.
func TestFileExpired(t *testing.T) {
	p := newPair(t)
	now := time.Now()
	f, err := OpenFile(p.cert, p.key, func() time.Time { return now }, slog.New(slog.DiscardHandler))
	must(t, "open", err)
	first := serial(f)
	cert, key := expired(t)
	p.write(p.cert, cert)
	p.write(p.key, key)
	if changed, err := f.Renew(t.Context(), true); changed || err == nil || !strings.Contains(err.Error(), "not now") {
		t.Errorf("an expired pair: got %t, %v, want a refusal that says so", changed, err)
	}
	if got := serial(f); got != first {
		t.Errorf("after an expired pair: got serial %s, want %s", got, first)
	}
	now = now.Add(1000 * time.Hour) // the one in use has ended, too
	if c := f.List().Certificates[0]; c.State != admin.CertificateExpired || c.DaysLeft >= 0 {
		t.Errorf("after its end: got %+v, want an expired one, days ago", c)
	}
	if changed, err := f.Renew(t.Context(), true); !changed || err != nil {
		t.Errorf("an expired pair in place of an expired one: got %t, %v, want it used", changed, err)
	}
}
