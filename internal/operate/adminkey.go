package operate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/amtp-go/amtp/internal/config"
	"github.com/amtp-go/amtp/internal/datadir"
	"github.com/amtp-go/amtp/internal/gateway"
	"github.com/amtp-go/amtp/internal/managedfile"
	"github.com/amtp-go/amtp/internal/plaintext"
)

// AdminKeys returns the configured keys, or else the gateway's own. The first start
// makes that key: in the data directory, or in the store that several gateways share.
// claimed says that the gateway has a data directory, where its key may be written.
func AdminKeys(cfg config.Config, s gateway.Documents, seal gateway.Seal, claimed bool) ([]string, error) {
	keys, err := cfg.AdminKeys()
	if err != nil || len(keys) > 0 {
		return keys, err
	}
	name := filepath.Join(cfg.DataDir, datadir.AdminKeyFile)
	var key string
	if Shared(cfg) {
		key, err = sharedAdminKey(context.Background(), s, seal, name, claimed)
	} else {
		key, err = ownAdminKey(name)
	}
	return []string{key}, err
}

// administration is the kind of the document that holds the administrator's key.
const administration = "admin"

// sharedAdminKey returns the key of all gateways on the store. Each puts a copy into
// its data directory, where the commands on that machine find it. The first gateway
// uses the key that is already in its directory.
func sharedAdminKey(ctx context.Context, s gateway.Documents, seal gateway.Seal, name string,
	claimed bool) (string, error) {
	key, err := shareAdminKey(ctx, s, seal, func() (string, error) {
		if !claimed {
			return gateway.NewAdminKey(), nil
		}
		return ownAdminKey(name)
	})
	if err != nil || !claimed {
		return key, err
	}
	return key, managedfile.ReplaceDurably(name, []byte(key+"\n"))
}

// shareAdminKey returns the key in the store, and puts the first one there.
func shareAdminKey(ctx context.Context, s gateway.Documents, seal gateway.Seal,
	first func() (string, error)) (key string, err error) {
	const name = "key"
	err = s.ChangeDocuments(ctx, administration, func(list []gateway.Document) ([]gateway.Document, error) {
		if len(list) > 0 {
			plain, err := seal.Open(administration, name, list[0].Sealed)
			key = string(plain)
			return list, err
		}
		var err error
		if key, err = first(); err != nil {
			return nil, err
		}
		box, err := seal.Close(administration, name, []byte(key))
		return []gateway.Document{{Kind: administration, Name: name, Sealed: box, Created: time.Now()}}, err
	})
	if err != nil {
		return "", fmt.Errorf("the admin key of the gateways on this database: %w", err)
	}
	return key, nil
}

// ownAdminKey reads the administrator's key, or makes it if there is none. Only the
// owner can read the file.
func ownAdminKey(name string) (string, error) {
	b, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return makeAdminKey(name)
	}
	if err != nil {
		return "", fmt.Errorf("read the admin key: %w", err)
	}
	key := plaintext.Word(string(plaintext.Content(b)))
	if key == "" || plaintext.Odd(key) != "" {
		return "",
			fmt.Errorf("the admin key file %s does not hold one key; delete it and start again to make a new key",
				name)
	}
	return key, nil
}

// makeAdminKey writes a new key.
func makeAdminKey(name string) (key string, err error) {
	key = gateway.NewAdminKey()
	if err := managedfile.ReplaceDurably(name, []byte(key+"\n")); err != nil {
		return "", fmt.Errorf("make the admin key: %w", err)
	}
	return key, nil
}
