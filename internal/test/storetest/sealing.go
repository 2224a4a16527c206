package storetest

import (
	"errors"
	"strconv"

	"github.com/amtp-go/amtp/internal/gateway"
)

// sealing are the promises about secrets.
func sealing() []promise {
	return []promise{
		{"Secrets lists those of a kind, oldest first", secretsInOrder},
		{"ChangeSecrets stores what change returns in their place", secretsChanged},
		{"change sees them as they are at that moment", secretsAtOnce},
		{"an error of change is returned and nothing is stored", secretsRefused},
		{"two of one name are ErrExists", secretsTwice},
		{"those of another kind are refused", secretsOfAnotherKind},
	}
}

func (w *world) secrets(kind string) []gateway.Secret {
	w.Helper()
	list, err := w.store.Secrets(w.ctx, kind)
	if err != nil {
		w.Fatalf("Secrets = %v, want no error; kind %s", err, kind)
	}
	return list
}

func (w *world) names(kind string) []string {
	w.Helper()
	var names []string
	for _, s := range w.secrets(kind) {
		same(w, "kind", s.Kind, kind)
		names = append(names, s.Name)
	}
	return names
}

// put adds secrets to those of a kind.
func (w *world) put(kind string, more ...gateway.Secret) error {
	return w.store.ChangeSecrets(w.ctx, kind, func(list []gateway.Secret) ([]gateway.Secret,
		error) {
		return append(list, more...), nil
	})
}

func (w *world) secret(kind, name string) gateway.Secret {
	return gateway.Secret{Kind: kind, Name: name, Sealed: []byte("sealed " + name), Created: w.now()}
}

func secretsInOrder(w *world) {
	same(w, "secrets before", len(w.secrets("signing")), 0)
	c, b, a := w.secret("signing", "c"), w.secret("signing", "b"), w.secret("signing", "a")
	w.works("ChangeSecrets", w.put("signing", a, c, b))
	w.works("ChangeSecrets", w.put("webhook", w.secret("webhook", "x")))
	sameList(w, "names", w.names("signing"), []string{"c", "b", "a"})
	sameList(w, "names of the other kind", w.names("webhook"), []string{"x"})
}

func secretsChanged(w *world) {
	first := gateway.Secret{Kind: "signing", Name: "s1", Sealed: []byte{0, 1, 255, 0}, Facts: []byte(`{"public": "x"}`),
		Created: w.now()}
	second := gateway.Secret{Kind: "signing", Name: "s2", Created: w.now()}
	w.works("ChangeSecrets", w.put("signing", first, second))
	list := w.secrets("signing")
	same(w, "secrets", len(list), 2)
	same(w, "sealed", string(list[0].Sealed), string(first.Sealed))
	same(w, "facts", string(list[0].Facts), string(first.Facts))
	w.sameTime("created", list[0].Created, first.Created)
	same(w, "nothing sealed", len(list[1].Sealed)+len(list[1].Facts), 0)
	w.works("ChangeSecrets", w.store.ChangeSecrets(w.ctx, "signing",
		func(list []gateway.Secret) ([]gateway.Secret, error) {
			list[1].Facts = []byte("{}")
			return list[1:], nil
		}))
	sameList(w, "names", w.names("signing"), []string{"s2"})
	same(w, "facts that were changed", string(w.secrets("signing")[0].Facts), "{}")
	w.works("ChangeSecrets", w.store.ChangeSecrets(w.ctx, "signing",
		func([]gateway.Secret) ([]gateway.Secret, error) { return nil, nil }))
	same(w, "secrets at the end", len(w.secrets("signing")), 0)
}

func secretsAtOnce(w *world) {
	const n = 30
	all := make([]gateway.Secret, n)
	for i := range all {
		all[i] = w.secret("signing", strconv.Itoa(i))
	}
	together(n, func(i int) { w.works("ChangeSecrets", w.put("signing", all[i])) })
	same(w, "secrets", len(w.secrets("signing")), n)
}

func secretsRefused(w *world) {
	w.works("ChangeSecrets", w.put("signing", w.secret("signing", "s1")))
	refused := errors.New("not today")
	err := w.store.ChangeSecrets(w.ctx, "signing", func(list []gateway.Secret) ([]gateway.Secret, error) {
		list[0].Name = "changed"
		return list, refused
	})
	w.fails("ChangeSecrets", err, refused)
	sameList(w, "names", w.names("signing"), []string{"s1"})
}

func secretsTwice(w *world) {
	w.works("ChangeSecrets", w.put("signing", w.secret("signing", "s1")))
	w.fails("ChangeSecrets", w.put("signing", w.secret("signing", "s1")), gateway.ErrExists)
	same(w, "secrets", len(w.secrets("signing")), 1)
}

func secretsOfAnotherKind(w *world) {
	if err := w.put("signing", w.secret("webhook", "x")); err == nil {
		w.Errorf("ChangeSecrets with a secret of another kind = no error, want one")
	}
	same(w, "secrets", len(w.secrets("signing"))+len(w.secrets("webhook")), 0)
}

// secretsAfterRestart belongs to what a store remembers.
func secretsAfterRestart(w *world) {
	s := w.secret("signing", "s1")
	w.works("ChangeSecrets", w.put("signing", s))
	w.restart()
	list := w.secrets("signing")
	same(w, "secrets", len(list), 1)
	same(w, "sealed", string(list[0].Sealed), string(s.Sealed))
}
