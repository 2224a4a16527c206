package amtp_test

import (
	"context"
	"errors"
	"log/slog"
	"os"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/app"
	"github.com/amtp-go/amtp/internal/config"
)

// gateway runs a real gateway on this machine for one example, with agents of these
// names. It returns its URL, the key of each agent, and a function that stops it.
func gateway(names ...string) (url string, key map[string]string, stop func()) {
	dir, err := os.MkdirTemp("", "amtp-example-")
	must(err)
	cfg, _, err := config.Load(config.Sources{Environ: []string{"AMTP_DATA_DIR=" + dir,
		"AMTP_SERVER_ADDRESS=127.0.0.1:0"}})
	must(err)
	a, err := app.New(cfg, slog.New(slog.DiscardHandler))
	must(err)
	ctx, end := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	key = make(map[string]string)
	for _, name := range names {
		r, err := (&amtp.Client{URL: a.URL()}).Register(ctx, amtp.NewAgent{Address: name})
		must(err)
		key[name] = r.APIKey
	}
	return a.URL(), key, func() {
		end()
		must(errors.Join(<-ended, a.Close(), os.RemoveAll(dir)))
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
