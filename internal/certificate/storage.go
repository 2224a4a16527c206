package certificate

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"

	"github.com/amtp-go/amtp/internal/gateway"
)

// kind is the kind of a storage's documents.
const kind = "acme"

// storage keeps certificates, keys and notes sealed in the gateway's store, by names
// that are paths. So all gateways on one store have the same certificates. Its locks
// are leases in that store. It is a certmagic.Storage.
type storage struct {
	store gateway.Documents
	seal  gateway.Seal
	now   func() time.Time
	log   *slog.Logger
	locks // Lock and Unlock

	stage  sync.Mutex
	staged map[string]map[string][]byte // by directory, then by name
}

var _ certmagic.Storage = (*storage)(nil)

// Store keeps value under name.
//
// The library stores the key, the chain and the facts of a certificate one after
// another, in this order. When a step fails it deletes the earlier ones. That would
// lose a working certificate. So the key and the chain wait here for the facts, and
// all three are stored in one step.
func (s *storage) Store(ctx context.Context, name string, value []byte) error {
	dir, file := path.Split(name)
	dir = path.Clean(dir)
	if !strings.HasPrefix(name, "certificates/") {
		return s.Replace(ctx, name, map[string][]byte{name: value})
	}
	s.stage.Lock()
	defer s.stage.Unlock()
	waiting := s.staged[dir]
	if path.Ext(file) != ".json" {
		if waiting == nil {
			waiting = map[string][]byte{}
		}
		waiting[name] = value
		if s.staged == nil {
			s.staged = map[string]map[string][]byte{}
		}
		s.staged[dir] = waiting
		return nil
	}
	if len(waiting) == 0 { // a new suggestion about the certificate that is there
		return s.Replace(ctx, name, map[string][]byte{name: value})
	}
	whole := maps.Clone(waiting)
	whole[name] = value
	if err := s.Replace(ctx, dir, whole); err != nil {
		return err
	}
	delete(s.staged, dir)
	return nil
}

// Delete removes the values under name and below it. If name waits for the rest of a
// certificate, only the waiting value is removed.
func (s *storage) Delete(ctx context.Context, name string) error {
	s.stage.Lock()
	defer s.stage.Unlock()
	dir := path.Dir(name)
	if _, ok := s.staged[dir][name]; ok {
		delete(s.staged[dir], name)
		return nil
	}
	return s.Replace(ctx, name, nil)
}

// Replace stores the values by their names, and removes the former ones under dir and
// below it. It does both or, when it fails, neither.
func (s *storage) Replace(ctx context.Context, dir string, values map[string][]byte) error {
	var fresh []gateway.Document
	for _, name := range slices.Sorted(maps.Keys(values)) {
		sealed, err := s.seal.Close(kind, name, values[name])
		if err != nil {
			return err
		}
		fresh = append(fresh, gateway.Document{Kind: kind, Name: name, Sealed: sealed, Created: s.now()})
	}
	return s.store.ChangeDocuments(ctx, kind, func(list []gateway.Document) ([]gateway.Document, error) {
		list = slices.DeleteFunc(slices.Clone(list), func(n gateway.Document) bool { return below(n.Name, dir) })
		return append(list, fresh...), nil
	})
}

// below reports whether name is dir, or in it.
func below(name, dir string) bool { return name == dir || strings.HasPrefix(name, dir+"/") }

// Load returns the value under name, or fs.ErrNotExist. A value that was sealed with a
// lost key counts as absent: it can be made again.
func (s *storage) Load(ctx context.Context, name string) ([]byte, error) {
	list, err := s.store.Documents(ctx, kind)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(list, func(n gateway.Document) bool { return n.Name == name })
	if i < 0 {
		return nil, fs.ErrNotExist
	}
	value, err := s.seal.Open(kind, name, list[i].Sealed)
	if errors.Is(err, gateway.ErrSealed) {
		s.log.Warn("stored data of certificates cannot be opened with seal.key and is made again", "name", name)
		return nil, fs.ErrNotExist
	}
	return value, err
}

// Exists reports whether there is a readable value under name, or any value below it.
func (s *storage) Exists(ctx context.Context, name string) bool {
	if _, err := s.Load(ctx, name); err == nil {
		return true
	}
	names, err := s.List(ctx, name, true)
	return err == nil && len(names) > 0
}

// List returns the names below dir in order, or fs.ErrNotExist. Unless recursive is
// set, a directory stands for the names below it.
func (s *storage) List(ctx context.Context, dir string, recursive bool) ([]string, error) {
	secrets, err := s.store.Documents(ctx, kind)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, n := range secrets {
		rest, ok := strings.CutPrefix(n.Name, dir+"/")
		if !ok {
			continue
		}
		if !recursive {
			rest, _, _ = strings.Cut(rest, "/")
		}
		names = append(names, path.Join(dir, rest))
	}
	if len(names) == 0 {
		return nil, fs.ErrNotExist
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// Stat describes the value or the directory under name, or returns fs.ErrNotExist.
func (s *storage) Stat(ctx context.Context, name string) (certmagic.KeyInfo, error) {
	secrets, err := s.store.Documents(ctx, kind)
	if err != nil {
		return certmagic.KeyInfo{}, err
	}
	i := slices.IndexFunc(secrets, func(n gateway.Document) bool { return below(n.Name, name) })
	if i < 0 {
		return certmagic.KeyInfo{}, fs.ErrNotExist
	}
	info := certmagic.KeyInfo{Key: name, Modified: secrets[i].Created, IsTerminal: secrets[i].Name == name}
	if info.IsTerminal {
		value, err := s.Load(ctx, name)
		if err != nil {
			return certmagic.KeyInfo{}, err
		}
		info.Size = int64(len(value))
	}
	return info, nil
}

// site holds the names of the stored values of one certificate.
type site struct{ dir, chain, key, facts string }

// site returns the names for the certificate of a host.
func (a *ACME) site(host string) site { return siteOf(a.issuer.IssuerKey(), host) }

// siteOf returns the names for a host at an authority, as the library forms them.
func siteOf(authority, host string) site {
	names := certmagic.StorageKeys
	return site{dir: names.CertsSitePrefix(authority, host), chain: names.SiteCert(authority, host),
		key: names.SitePrivateKey(authority, host), facts: names.SiteMeta(authority, host)}
}
