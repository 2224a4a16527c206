package certificate

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/certmagic"

	"github.com/amtp-go/amtp/internal/gateway"
)

// kind is the kind of the secrets of a storage.
const kind = "acme"

// storage is the certmagic.Storage of a gateway: what its keys name are sealed
// secrets in the gateway's store, so that all gateways on one store have the
// same certificates, and its locks are leases in it.
type storage struct {
	store gateway.Secrets
	seal  gateway.Seal
	now   func() time.Time
	log   *slog.Logger
	locks // Lock and Unlock
}

var _ certmagic.Storage = (*storage)(nil)

// Store keeps value under key.
func (s *storage) Store(ctx context.Context, key string, value []byte) error {
	sealed, err := s.seal.Close(kind, key, value)
	if err != nil {
		return err
	}
	return s.store.ChangeSecrets(ctx, kind, func(list []gateway.Secret) ([]gateway.Secret, error) {
		list = slices.DeleteFunc(slices.Clone(list), func(n gateway.Secret) bool { return n.Name == key })
		return append(list, gateway.Secret{Kind: kind, Name: key, Sealed: sealed, Created: s.now()}), nil
	})
}

// Load returns what is kept under key. What was sealed with a key that is lost
// is as good as not there: it can be made again.
func (s *storage) Load(ctx context.Context, key string) ([]byte, error) {
	n, err := s.find(ctx, key)
	if err != nil {
		return nil, err
	}
	value, err := s.seal.Open(kind, key, n.Sealed)
	if errors.Is(err, gateway.ErrSealed) {
		s.log.Warn("something stored about certificates does not open with seal.key and is made again", "name", key)
		return nil, fs.ErrNotExist
	}
	return value, err
}

func (s *storage) find(ctx context.Context, key string) (gateway.Secret, error) {
	list, err := s.store.Secrets(ctx, kind)
	if err != nil {
		return gateway.Secret{}, err
	}
	i := slices.IndexFunc(list, func(n gateway.Secret) bool { return n.Name == key })
	if i < 0 {
		return gateway.Secret{}, fs.ErrNotExist
	}
	return list[i], nil
}

// below reports whether name is key, or in the directory that key is.
func below(name, key string) bool {
	return key == "" || name == key || strings.HasPrefix(name, strings.TrimSuffix(key, "/")+"/")
}

// Delete forgets what is kept under key and below it.
func (s *storage) Delete(ctx context.Context, key string) error {
	return s.store.ChangeSecrets(ctx, kind, func(list []gateway.Secret) ([]gateway.Secret, error) {
		return slices.DeleteFunc(slices.Clone(list), func(n gateway.Secret) bool { return below(n.Name, key) }), nil
	})
}

// Exists reports whether something is kept under key or below it.
func (s *storage) Exists(ctx context.Context, key string) bool {
	_, err := s.Stat(ctx, key)
	return err == nil
}

// List returns the names in a directory, and with recursive all below it.
func (s *storage) List(ctx context.Context, dir string, recursive bool) (names []string, err error) {
	list, err := s.store.Secrets(ctx, kind)
	if err != nil {
		return nil, err
	}
	for _, n := range list {
		if !below(n.Name, dir) || n.Name == dir {
			continue
		}
		name := n.Name
		if first, _, deeper := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(name, dir), "/"), "/"); deeper && !recursive {
			name = path.Join(dir, first)
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if names == nil {
		return nil, fs.ErrNotExist
	}
	return names, nil
}

// Stat tells of what is kept under key.
func (s *storage) Stat(ctx context.Context, key string) (certmagic.KeyInfo, error) {
	list, err := s.store.Secrets(ctx, kind)
	if err != nil {
		return certmagic.KeyInfo{}, err
	}
	info, found := certmagic.KeyInfo{Key: key}, false
	for _, n := range list {
		if !below(n.Name, key) {
			continue
		}
		found = true
		if n.Name == key {
			info.IsTerminal, info.Modified, info.Size = true, n.Created, int64(len(n.Sealed))
		}
	}
	if !found {
		return info, fs.ErrNotExist
	}
	return info, nil
}
