package storetest

import (
	"errors"
	"strconv"

	"github.com/amtp-go/amtp/internal/gateway"
)

// sealing are the promises about documents.
func sealing() []promise {
	return []promise{
		{"Documents lists those of a kind, oldest first", documentsInOrder},
		{"ChangeDocuments stores what change returns in their place", documentsChanged},
		{"change sees them as they are at that moment", documentsAtOnce},
		{"an error of change is returned and nothing is stored", documentsRefused},
		{"two of one name are ErrExists", documentsTwice},
		{"those of another kind are refused", documentsOfAnotherKind},
	}
}

func (w *world) documents(kind string) []gateway.Document {
	w.Helper()
	list, err := w.store.Documents(w.ctx, kind)
	if err != nil {
		w.Fatalf("Documents = %v, want no error; kind %s", err, kind)
	}
	return list
}

func (w *world) names(kind string) []string {
	w.Helper()
	var names []string
	for _, s := range w.documents(kind) {
		same(w, "kind", s.Kind, kind)
		names = append(names, s.Name)
	}
	return names
}

// put adds documents to those of a kind.
func (w *world) put(kind string, more ...gateway.Document) error {
	return w.store.ChangeDocuments(w.ctx, kind, func(list []gateway.Document) ([]gateway.Document,
		error) {
		return append(list, more...), nil
	})
}

func (w *world) document(kind, name string) gateway.Document {
	return gateway.Document{Kind: kind, Name: name, Sealed: []byte("sealed " + name), Created: w.now()}
}

func documentsInOrder(w *world) {
	same(w, "documents before", len(w.documents("signing")), 0)
	c, b, a := w.document("signing", "c"), w.document("signing", "b"), w.document("signing", "a")
	w.works("ChangeDocuments", w.put("signing", a, c, b))
	w.works("ChangeDocuments", w.put("webhook", w.document("webhook", "x")))
	sameList(w, "names", w.names("signing"), []string{"c", "b", "a"})
	sameList(w, "names of the other kind", w.names("webhook"), []string{"x"})
}

func documentsChanged(w *world) {
	first := gateway.Document{Kind: "signing", Name: "s1", Sealed: []byte{0, 1, 255, 0}, Facts: []byte(`{"public": "x"}`),
		Created: w.now()}
	second := gateway.Document{Kind: "signing", Name: "s2", Created: w.now()}
	w.works("ChangeDocuments", w.put("signing", first, second))
	list := w.documents("signing")
	same(w, "documents", len(list), 2)
	same(w, "sealed", string(list[0].Sealed), string(first.Sealed))
	same(w, "facts", string(list[0].Facts), string(first.Facts))
	w.sameTime("created", list[0].Created, first.Created)
	same(w, "nothing sealed", len(list[1].Sealed)+len(list[1].Facts), 0)
	w.works("ChangeDocuments", w.store.ChangeDocuments(w.ctx, "signing",
		func(list []gateway.Document) ([]gateway.Document, error) {
			list[1].Facts = []byte("{}")
			return list[1:], nil
		}))
	sameList(w, "names", w.names("signing"), []string{"s2"})
	same(w, "facts that were changed", string(w.documents("signing")[0].Facts), "{}")
	w.works("ChangeDocuments", w.store.ChangeDocuments(w.ctx, "signing",
		func([]gateway.Document) ([]gateway.Document, error) { return nil, nil }))
	same(w, "documents at the end", len(w.documents("signing")), 0)
}

func documentsAtOnce(w *world) {
	const n = 30
	all := make([]gateway.Document, n)
	for i := range all {
		all[i] = w.document("signing", strconv.Itoa(i))
	}
	together(n, func(i int) { w.works("ChangeDocuments", w.put("signing", all[i])) })
	same(w, "documents", len(w.documents("signing")), n)
}

func documentsRefused(w *world) {
	w.works("ChangeDocuments", w.put("signing", w.document("signing", "s1")))
	refused := errors.New("not today")
	err := w.store.ChangeDocuments(w.ctx, "signing", func(list []gateway.Document) ([]gateway.Document, error) {
		list[0].Name = "changed"
		return list, refused
	})
	w.fails("ChangeDocuments", err, refused)
	sameList(w, "names", w.names("signing"), []string{"s1"})
}

func documentsTwice(w *world) {
	w.works("ChangeDocuments", w.put("signing", w.document("signing", "s1")))
	w.fails("ChangeDocuments", w.put("signing", w.document("signing", "s1")), gateway.ErrExists)
	same(w, "documents", len(w.documents("signing")), 1)
}

func documentsOfAnotherKind(w *world) {
	if err := w.put("signing", w.document("webhook", "x")); err == nil {
		w.Errorf("ChangeDocuments with a document of another kind = no error, want one")
	}
	same(w, "documents", len(w.documents("signing"))+len(w.documents("webhook")), 0)
}

// documentsAfterRestart is one of the promises about what a store remembers.
func documentsAfterRestart(w *world) {
	s := w.document("signing", "s1")
	w.works("ChangeDocuments", w.put("signing", s))
	w.restart()
	list := w.documents("signing")
	same(w, "documents", len(list), 1)
	same(w, "sealed", string(list[0].Sealed), string(s.Sealed))
}
