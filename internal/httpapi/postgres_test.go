package httpapi_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/amtp-go/amtp/internal/store/postgres"
	"github.com/amtp-go/amtp/internal/test/pgtest"
)

// onPostgreSQL is the test below which start runs gateways on PostgreSQL.
const onPostgreSQL = "TestOnPostgreSQL"

// TestOnPostgreSQL checks that the API is the same on PostgreSQL: the rights of callers,
// and the handling of messages, inboxes and agents.
func TestOnPostgreSQL(t *testing.T) {
	for _, test := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"Matrix", TestMatrix},
		{"SendIsRefused", TestSendIsRefused},
		{"DomainSignatures", TestDomainSignatures},
		{"SendRefusedAsAWholeNamesTheRecipients", TestSendRefusedAsAWholeNamesTheRecipients},
		{"SendToSeveral", TestSendToSeveral},
		{"SendAgainWithTheSameKey", TestSendAgainWithTheSameKey},
		{"SendAgainAfterTheRecipientLeft", TestSendAgainAfterTheRecipientLeft},
		{"SendAgainInOtherWords", TestSendAgainInOtherWords},
		{"MessageIsShownToThoseItConcerns", TestMessageIsShownToThoseItConcerns},
		{"RecipientsDoNotSeeAcknowledgements", TestRecipientsDoNotSeeAcknowledgements},
		{"SenderIsShownOnce", TestSenderIsShownOnce},
		{"MessageListFilters", TestMessageListFilters},
		{"Search", TestSearch},
		{"Thread", TestThread},
		{"ThreadConcealsMarks", TestThreadConcealsMarks},
		{"Threads", TestThreads},
		{"InboxPages", TestInboxPages},
		{"InboxReadMarks", TestInboxReadMarks},
		{"Acknowledge", TestAcknowledge},
		{"AcknowledgeAll", TestAcknowledgeAll},
		{"InboxIsPrivate", TestInboxIsPrivate},
		{"InboxWaits", TestInboxWaits},
		{"Register", TestRegister},
		{"Keys", TestKeys},
		{"UpdateAndDelete", TestUpdateAndDelete},
		{"UpdatesAtOnce", TestUpdatesAtOnce},
		{"Discovery", TestDiscovery},
		{"Push", TestPush},
	} {
		t.Run(test.name, test.run)
	}
}

// database returns the settings of a gateway that runs on a new database.
func database(t *testing.T) []string {
	t.Helper()
	return []string{"AMTP_DATABASE_URL=" + pgtest.Database(t, "gateway", func(url string) error {
		s, err := postgres.Open(context.Background(), postgres.Options{URL: url})
		if err != nil {
			return err
		}
		return s.Close()
	})}
}

// TestKeyEndedElsewhere: two replicas share a database. As soon as one has answered that a
// key is revoked, or its agent removed, the other refuses every request with that key.
func TestKeyEndedElsewhere(t *testing.T) {
	settings := append(database(t), "AMTP_AUTH_REQUIRED=true")
	one := start(t, settings...)
	two := start(t, append(settings, "AMTP_SEAL_KEY_FILE="+filepath.Join(one.dir, "seal.key"))...)
	one.agent("bob")
	requests := []struct{ method, path, body string }{
		{"POST", "/v1/messages", `{"sender":"{name}@localhost","recipients":["bob@localhost"]}`},
		{"POST", "/v1/admin/agents/{name}/keys", ""},
		{"PATCH", "/v1/admin/agents/{name}", `{"role":"changed"}`},
		{"DELETE", "/v1/admin/agents/{name}", ""},
		{"DELETE", "/v1/inbox/{name}@localhost/{m}", ""},
		{"POST", "/v1/inbox/{name}@localhost/{m}/read", ""},
		{"GET", "/v1/inbox/{name}@localhost", ""},
		{"GET", "/v1/messages", ""},
		{"GET", "/v1/messages/{m}", ""},
		{"GET", "/v1/whoami", ""},
	}
	for i, r := range requests {
		for _, how := range []string{"revoked", "removed"} {
			name := fmt.Sprint(how, i)
			one.agent(name)
			id := one.send("bob", name, `"for `+name+`"`)
			two.wants(name+" before", two.do("GET", "/v1/whoami", "", one.as(name)), 200, "")
			path := "/v1/admin/agents/" + name
			if how == "revoked" {
				keys := one.do("GET", path+"/keys", "", one.as(name)).body["keys"].([]any)
				path += "/keys/" + keys[0].(map[string]any)["id"].(string)
			}
			fill := strings.NewReplacer("{name}", name, "{m}", id).Replace
			one.wants("the end of "+name, one.do("DELETE", path, "", "X-Admin-Key: "+one.admin), 200, "")
			got := two.do(r.method, fill(r.path), fill(r.body), one.as(name))
			two.wants(r.method+" "+r.path+" by a key that is "+how, got, 401, "AUTHENTICATION_FAILED")
		}
	}
}
