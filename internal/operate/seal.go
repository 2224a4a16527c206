package operate

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/amtp-go/amtp/internal/config"
	"github.com/amtp-go/amtp/internal/datadir"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/managedfile"
	"github.com/amtp-go/amtp/internal/plaintext"
)

// ErrSealLost means that the key with which the secrets in the database were sealed is
// missing, or that the file holds another one.
var ErrSealLost = errors.New("put back the one that belongs to this database, or make new signing keys: amtp keys reset")

// errOtherSeal means that a gateway would join others on a database with a seal key of
// its own.
var errOtherSeal = errors.New("give every gateway on one database the same file: AMTP_SEAL_KEY_FILE, or seal.key in its data directory")

// SealFile returns the name of the file with the seal key.
func SealFile(cfg config.Config) string {
	if cfg.SealKey != "" {
		return cfg.SealKey
	}
	return filepath.Join(cfg.DataDir, datadir.SealKeyFile)
}

// OpenSeal reads the key that opens the sealed secrets of the store. In the data
// directory it makes the key if there is none; a file that a setting names must exist.
// The key is not part of a backup.
func OpenSeal(cfg config.Config) (gateway.Seal, error) {
	name := SealFile(cfg)
	content, err := os.ReadFile(name)
	if err == nil {
		key, ok := sealKey(content)
		if !ok {
			return gateway.Seal{}, fmt.Errorf("%s has %d bytes and not %d, so it is no seal key; %w", name,
				len(content), gateway.SealKeySize, ErrSealLost)
		}
		return gateway.NewSeal(key)
	}
	if !errors.Is(err, fs.ErrNotExist) || cfg.SealKey != "" {
		return gateway.Seal{}, fmt.Errorf("read the seal key: %w", err)
	}
	key := make([]byte, gateway.SealKeySize)
	rand.Read(key) // never fails: it would end the program
	if err := managedfile.ReplaceDurably(name, key); err != nil {
		return gateway.Seal{}, fmt.Errorf("make the seal key: %w", err)
	}
	return gateway.NewSeal(key)
}

// sealKey returns the key that a file holds, raw or in base64.
func sealKey(content []byte) ([]byte, bool) {
	if len(content) == gateway.SealKeySize {
		return content, true
	}
	key, err := base64.StdEncoding.DecodeString(plaintext.Word(string(plaintext.Content(content))))
	return key, err == nil && len(key) == gateway.SealKeySize
}

// sealed is the kind of the document by which one seal is told from another.
const sealed = "seal"

// CheckSeal refuses a seal key other than that of the gateways that share the store. A
// gateway that is alone has no key to compare with. It may have lost its key, and then
// runs without the secrets that the key opened.
func CheckSeal(cfg config.Config, s gateway.Documents, seal gateway.Seal) error {
	if !Shared(cfg) {
		return nil
	}
	err := markSeal(context.Background(), s, seal)
	if errors.Is(err, gateway.ErrSealed) {
		return fmt.Errorf("%s is not the seal key of this database; %w", SealFile(cfg), errOtherSeal)
	}
	return err
}

// markSeal stores a mark of the seal if the store has none. Otherwise it checks that
// the seal opens the mark.
func markSeal(ctx context.Context, s gateway.Documents, seal gateway.Seal) error {
	return s.ChangeDocuments(ctx, sealed, func(list []gateway.Document) ([]gateway.Document, error) {
		const name = "mark"
		if len(list) > 0 {
			_, err := seal.Open(sealed, name, list[0].Sealed)
			return list, err
		}
		box, err := seal.Close(sealed, name, []byte(name))
		return []gateway.Document{{Kind: sealed, Name: name, Sealed: box}}, err
	})
}
