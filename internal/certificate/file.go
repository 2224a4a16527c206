package certificate

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/plaintext"
)

// File is a certificate and its key in two files in PEM form. When they change they are
// read again. Two files that do not match cause only a log line.
type File struct {
	cert, key string
	now       func() time.Time
	log       *slog.Logger

	mu       sync.Mutex
	inUse    *tls.Certificate
	inUseOf  content // the content of which inUse was made
	seen     content // the content at the last check
	judged   bool    // whether seen was used, or refused for good
	failed   string
	failedAt time.Time
}

// content is the content of the two files.
type content struct{ cert, key []byte }

func (c content) same(d content) bool {
	return bytes.Equal(c.cert, d.cert) && bytes.Equal(c.key, d.key)
}

// OpenFile reads the files, which must match.
func OpenFile(cert, key string, now func() time.Time, log *slog.Logger) (*File, error) {
	f := &File{cert: cert, key: key, now: now, log: log}
	if _, err := f.look(true); err != nil {
		return nil, fmt.Errorf("load the TLS certificate: %w", err)
	}
	return f, nil
}

// lookEvery is how often the files are read. They are small, and their content shows a
// change more reliably than the times of files and links.
const lookEvery = 10 * time.Second

// Run checks the files until ctx ends.
func (f *File) Run(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			_, _ = f.look(false) // it logs its error and shows it in List
		}
	}
}

// Renew reads the files now; force makes no difference.
func (f *File) Renew(context.Context, bool) (bool, error) { return f.look(true) }

// look reads the files and uses a new content. Two files are not replaced at the same
// moment. So, unless sure is set, files that do not match are refused only if they are
// the same at the next check.
func (f *File) look(sure bool) (changed bool, err error) {
	found, readErr := f.read()
	f.mu.Lock()
	defer f.mu.Unlock()
	again := found.same(f.seen)
	if again && f.judged && !sure {
		return false, nil
	}
	f.seen, f.judged = found, false
	if readErr == nil && f.inUse != nil && found.same(f.inUseOf) {
		f.judged, f.failed, f.failedAt = true, "", time.Time{}
		return false, nil
	}
	pair, err := found.pair(readErr)
	if err == nil {
		err = f.worse(pair)
	}
	if err != nil {
		if sure || again {
			f.refuse(err)
		}
		return false, err
	}
	f.judged, f.failed, f.failedAt = true, "", time.Time{}
	first := f.inUse == nil
	f.inUse, f.inUseOf = pair, found
	if !first {
		f.log.Info("the certificate was read again", "file", f.cert, "until", pair.Leaf.NotAfter)
	}
	return true, nil
}

func (f *File) read() (c content, err error) {
	if c.cert, err = os.ReadFile(f.cert); err != nil {
		return content{}, err
	}
	if c.key, err = os.ReadFile(f.key); err != nil {
		return content{}, err
	}
	return c, nil
}

// pair makes a certificate of the content.
func (c content) pair(readErr error) (*tls.Certificate, error) {
	if readErr != nil {
		return nil, readErr
	}
	pair, err := tls.X509KeyPair(plaintext.Content(c.cert), plaintext.Content(c.key))
	if err != nil {
		return nil, err
	}
	return &pair, nil
}

// worse says why a certificate must not replace the one in use.
func (f *File) worse(next *tls.Certificate) error {
	now := f.now()
	if f.inUse == nil || inForce(f.inUse.Leaf, now) && inForce(next.Leaf, now) || !inForce(f.inUse.Leaf, now) {
		return nil
	}
	return fmt.Errorf("the new certificate is valid from %s to %s, and that is not now",
		next.Leaf.NotBefore.UTC().Format(time.RFC3339), next.Leaf.NotAfter.UTC().Format(time.RFC3339))
}

// refuse records that the files cannot be used as they are.
func (f *File) refuse(err error) {
	f.judged, f.failed, f.failedAt = true, err.Error(), f.now()
	if f.inUse != nil {
		f.log.Error("the certificate cannot be read again; the former one stays in use", "file", f.cert, "cause", err,
			"until", f.inUse.Leaf.NotAfter)
	}
}

// Certificate returns the certificate in use.
func (f *File) Certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.inUse, nil
}

// List describes the certificate in use.
func (f *File) List() admin.CertificateList {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := describe(f.inUse.Leaf, f.now())
	c.Error, c.ErrorAt = f.failed, amtp.Time{Time: f.failedAt}
	return admin.CertificateList{Source: admin.CertificateFile, From: f.cert, Certificates: []admin.Certificate{c}}
}
