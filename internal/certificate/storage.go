package certificate

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
)

// kind is the kind of the secrets of a storage.
const kind = "acme"

// storage keeps what the gateway knows of certificates as sealed secrets in its
// store, by names that are paths, so that all gateways on one store have the same
// certificates. Its locks are leases there.
type storage struct {
	store gateway.Secrets
	seal  gateway.Seal
	now   func() time.Time
	log   *slog.Logger
	locks // Lock and Unlock
}

// Store keeps value under name.
func (s *storage) Store(ctx context.Context, name string, value []byte) error {
	return s.Replace(ctx, name, map[string][]byte{name: value})
}

// Delete forgets what is kept under name and below it.
func (s *storage) Delete(ctx context.Context, name string) error {
	return s.Replace(ctx, name, nil)
}

// Replace keeps the values by their names, and forgets what was kept under dir
// and below it: both or, when it fails, neither.
func (s *storage) Replace(ctx context.Context, dir string, values map[string][]byte) error {
	var fresh []gateway.Secret
	for _, name := range slices.Sorted(maps.Keys(values)) {
		sealed, err := s.seal.Close(kind, name, values[name])
		if err != nil {
			return err
		}
		fresh = append(fresh, gateway.Secret{Kind: kind, Name: name, Sealed: sealed, Created: s.now()})
	}
	return s.store.ChangeSecrets(ctx, kind, func(list []gateway.Secret) ([]gateway.Secret, error) {
		list = slices.DeleteFunc(slices.Clone(list), func(n gateway.Secret) bool { return below(n.Name, dir) })
		return append(list, fresh...), nil
	})
}

// below reports whether name is dir, or in it.
func below(name, dir string) bool { return name == dir || strings.HasPrefix(name, dir+"/") }

// Load returns what is kept under name, or fs.ErrNotExist. What was sealed with a
// key that is lost is as good as not there: it can be made again.
func (s *storage) Load(ctx context.Context, name string) ([]byte, error) {
	list, err := s.store.Secrets(ctx, kind)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(list, func(n gateway.Secret) bool { return n.Name == name })
	if i < 0 {
		return nil, fs.ErrNotExist
	}
	value, err := s.seal.Open(kind, name, list[i].Sealed)
	if errors.Is(err, gateway.ErrSealed) {
		s.log.Warn("something stored about certificates does not open with seal.key and is made again", "name", name)
		return nil, fs.ErrNotExist
	}
	return value, err
}

// site is where the certificate of a host is kept, and its key beside it.
type site struct{ dir, chain, key string }

// siteOf names the site of a host at an authority. A release that is running
// reads what another wrote: the names stay as they are.
func siteOf(authority, host string) site {
	dir := path.Join("certificates", authority, safe(host))
	return site{dir: dir, chain: path.Join(dir, safe(host)+".crt"), key: path.Join(dir, safe(host)+".key")}
}

var (
	spelt = strings.NewReplacer(" ", "_", "+", "_plus_", "*", "wildcard_", ":", "-", "..", "")
	unfit = regexp.MustCompile(`[^\w@.-]`)
)

// safe makes s one part of a name.
func safe(s string) string {
	return unfit.ReplaceAllLiteralString(spelt.Replace(strings.ToLower(strings.TrimSpace(s))), "")
}
