package operate

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/admin"
	"github.com/amtp-go/amtp/internal/config"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/keyring"
)

// The reasons for which commands about signing keys are refused.
var (
	// ErrNothingLost means that a reset would discard keys that work.
	ErrNothingLost = keyring.ErrNothingLost
	// ErrNoDomain means that there is no domain for which to sign.
	ErrNoDomain = errors.New("this gateway has no domain of its own, so it signs nothing; name it as for amtp serve, with --domain or AMTP_DOMAIN")
)

// LoadKeys gives the ring the seal of the data directory and makes it read its keys.
// The first start makes both. If keys exist and the seal is lost, it makes neither,
// because the operator may have the right seal elsewhere.
func LoadKeys(cfg config.Config, ring *keyring.Keyring) error {
	ctx, name := context.Background(), SealFile(cfg)
	made, err := ring.Made(ctx)
	if err != nil {
		return err
	}
	mend := ErrSealLost
	if Shared(cfg) {
		mend = errOtherSeal
	}
	if _, err := os.Stat(name); made && errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is missing, and only it opens the signing keys of this database; %w", name, mend)
	}
	if ring.Seal, err = OpenSeal(cfg); err != nil {
		return err
	}
	if ring.Brought, err = BroughtKey(cfg); err != nil {
		return err
	}
	err = ring.Load(ctx)
	if errors.Is(err, keyring.ErrOtherKey) {
		return fmt.Errorf("the key in %s cannot be used as %s: %w", cfg.Signature.PrivateKeyFile, cfg.Signature.KeyID,
			keyring.ErrOtherKey)
	}
	if errors.Is(err, gateway.ErrSealed) {
		return fmt.Errorf("%s does not open the signing keys of this database; %w", name, mend)
	}
	return err
}

// BroughtKey reads the key that the configuration names, nil for none.
func BroughtKey(cfg config.Config) (*keyring.Brought, error) {
	file := cfg.Signature.PrivateKeyFile
	if file == "" {
		return nil, nil
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the signing key: %w", err)
	}
	key, err := amtp.ParseSigningKey(content)
	if err != nil {
		return nil, fmt.Errorf("read the signing key in %s: %w", file, err)
	}
	return &keyring.Brought{Selector: cfg.Signature.KeyID, Key: key}, nil
}

// KeysReset says what ResetKeys did.
type KeysReset struct {
	Key   admin.SigningKey `json:"key"`             // signs from now on
	Aside string           `json:"aside,omitempty"` // the new name of a seal.key file that held no key
}

// ResetKeys gives up the signing keys in a store, which no seal opens any more, and
// makes a new one. No gateway may run on the store.
func ResetKeys(ctx context.Context, cfg config.Config) (done KeysReset, err error) {
	if !cfg.Federated() {
		return done, ErrNoDomain
	}
	s, release, err := openAlone(cfg)
	if err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, release()) }()
	name := SealFile(cfg)
	seal, err := OpenSeal(cfg)
	if errors.Is(err, ErrSealLost) && cfg.SealKey == "" {
		done.Aside = name + ".before-reset-" + time.Now().UTC().Format("20060102T150405Z")
		if err := os.Rename(name, done.Aside); err != nil {
			return done, err
		}
		seal, err = OpenSeal(cfg)
	}
	if err != nil {
		return done, err
	}
	ring := &keyring.Keyring{Store: s, Seal: seal, Domain: cfg.Server.Domain, Now: time.Now}
	if ring.Brought, err = BroughtKey(cfg); err != nil {
		return done, err
	}
	if done.Key, err = ring.Reset(ctx); err != nil || !Shared(cfg) {
		return done, err
	}
	return done, errors.Join(forget(ctx, s, sealed), forget(ctx, s, administration), markSeal(ctx, s, seal))
}

// forget removes all documents of a kind. The next start makes them anew.
func forget(ctx context.Context, s gateway.Documents, kind string) error {
	return s.ChangeDocuments(ctx, kind, func([]gateway.Document) ([]gateway.Document, error) { return nil, nil })
}
