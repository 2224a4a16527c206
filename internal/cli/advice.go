package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/amtp-go/amtp"
)

// advice is the next step for each code: the hint of a failure that has no hint of its own.
// A code without a line here fails the tests; docs/errors.md shows them all.
var advice = map[amtp.Code]string{
	amtp.CodeInvalidMessage:       `correct what the text names; "amtp help send" shows how a message is made`,
	amtp.CodeUnsupportedVersion:   `send version "1.0", or none`,
	amtp.CodeSchemaValidation:     "correct the payload where the details say",
	amtp.CodeMessageTooLarge:      "send less, or put the content where the recipient can get it and send where that is",
	amtp.CodeInvalidRecipient:     "write each recipient as name@domain; for more than 100 send several messages",
	amtp.CodeRecipientUnavailable: `send it again later; "amtp status ID" shows what was tried`,
	amtp.CodeRecipientNotFound:    `run "amtp discover" to see whom this gateway serves`,
	amtp.CodeAgentUnknown:         `run "amtp discover" to see who is there`,
	amtp.CodeAuthenticationFailed: `run "amtp setup --name <agent-name>" for a key that works`,
	amtp.CodeRateLimitExceeded:    "wait, then try again",
	amtp.CodeTemporaryFailure:     "wait, then try again",
	amtp.CodeCoordinationFailed:   "send the message without coordination, to each recipient yourself",
	amtp.CodeInvalidRequest:       "correct what the text names",

	amtp.CodeLocalSenderAuthRequired:  `run "amtp setup --name <agent-name>", or show the key of the sender`,
	amtp.CodeSenderCredentialMismatch: `run "amtp whoami" to see which agent you are acting as`,
	amtp.CodeSignatureRequired:        `publish the key of the sender's domain and sign: "amtp domain setup"`,
	amtp.CodeSignatureInvalid:         `"amtp domain check" on the sender's side compares its key with DNS`,
	amtp.CodeSignatureKeyUnavailable:  `wait, then try again; "amtp domain check" on the sender's side looks for its key in DNS`,

	amtp.CodeInvalidLimit:         "give a limit from 1 to 1000",
	amtp.CodeInvalidOffset:        "give an offset from 0 to 10000; --cursor goes further back",
	amtp.CodeInvalidSince:         "give a date and time with a zone, such as 2026-01-31T12:00:00Z",
	amtp.CodeInvalidParameter:     "correct the parameter that the text names",
	amtp.CodeUnsupportedMediaType: "send JSON in UTF-8 as Content-Type: application/json, not compressed",
	amtp.CodeMethodNotAllowed:     "check the URL and the versions of both sides: amtp version",
	amtp.CodeMisdirected:          "write the gateway's URL with 127.0.0.1, [::1] or localhost",
	amtp.CodeNotFound:             "check the URL and the versions of both sides: amtp version",
	amtp.CodeNotImplemented:       "do without it: the text says what there is instead",
	amtp.CodeMessageNotFound:      `"amtp inbox" and "amtp sent" list the messages that you may see`,
	amtp.CodeKeyNotFound:          `"amtp agent show" lists the keys`,
	amtp.CodeDomainNotFound:       `run "amtp discover" without a domain to see who is at this gateway`,
	amtp.CodeJobNotFound:          `"amtp queue list" shows what waits, "amtp status ID" what became of a message`,
	amtp.CodeDeadLetterNotFound:   `"amtp dead list" shows those that there are`,
	amtp.CodeIdempotencyKeyReused: "use a new key and a new id for a new message; repeat the old one unchanged to retry it",
	amtp.CodeConflict:             "do first what the text says",
	amtp.CodeLeaseLost:            `claim the message again: "amtp claim"`,
	amtp.CodeLeaseHeld:            "give the token of the lease with --lease, or wait until the lease ends",
	amtp.CodeMissingAuthorization: `run "amtp setup --name <agent-name>", or show the key that you have`,
	amtp.CodeAccessDenied:         `run "amtp whoami" to see which agent you are acting as`,
	amtp.CodeAdminAuthRequired:    "set AMTP_ADMIN_KEY to the gateway's admin key",
	amtp.CodeAdminAccessDenied:    "set AMTP_ADMIN_KEY to the gateway's admin key: it is in admin.key in its data directory, if its operator set no other",
	amtp.CodeRegistrationFailed:   "correct what the text names, or choose another name",
	amtp.CodeMessageExpired:       "send it again as a new message, with more time, if it is still of use",
	amtp.CodeCancelled:            "send it again as a new message if it is to arrive after all",
	amtp.CodeCertificateFailed:    `fix what the text names; "amtp cert show" says when the gateway tries again`,
	amtp.CodeInternal:             "try again; if it stays, the gateway's operator finds the cause in its log",
	amtp.CodeUnknown:              "check the URL: what answered there is no AMTP gateway, or something is in front of it",

	codeUsage:        `run the command with --help`,
	codeNotSetUp:     `run "amtp setup --name <agent-name>"`,
	codeUnreachable:  "check the URL, or set AMTP_GATEWAY_URL",
	codeForeign:      "stop here: somebody else may have taken the gateway's place, so only the person whose keys these are says which user runs it",
	codeTimeout:      "try again with a longer --timeout",
	codeOutputFailed: `make room where the result goes; what the command has done is done: look before you run it again`,
	codeInterrupted:  `look before you run it again: what was sent is in "amtp sent"`,
	codeNotStarted:   `"amtp check" looks at the data directory, "amtp config check" at the settings`,
	codeCopyFailed:   "remove the cause and run it again: what was there is unchanged, and what was begun goes on where it was",
	codeExists:       `"amtp backup FILE --force" replaces what is there, "amtp restore FILE --force" moves it aside`,
	codeServed:       "stop every gateway on the database, then run it again",
	codeNoDatabase:   "name the gateway's data directory: --data-dir DIR",
	codeUnsound:      `do not use this file; take an older backup, or "amtp check DIR" to see what is wrong with a directory`,
	codeNoBackup:     "name a file that amtp backup made",
	"IS_CLONE":       "bring it up to date with git pull, or move it elsewhere",
	"IS_LINK":        "name the directory itself, or remove the link",
	"NO_PERMISSION":  "name a directory in which you may write, or ask its owner",
	"NOT_WRITTEN":    "remove the cause that the text names and run it again",
	codeNoProfile:    `"amtp profile list" shows those that there are`,

	codeNoManager:     `run "amtp serve" under what starts programs on this machine`,
	codeServiceFailed: `"amtp service status" and "amtp service logs" say more`,
	codeNoService:     "amtp service install",
	codePackaged:      "sudo systemctl enable --now amtp",

	codeAutomatic: "amtp read ID shows which message it is about",
	codeUnproven:  "to answer whoever has that address all the same: --unproven",
	codePrivate:   "nobody needs your keys; send what was asked for without them",

	codeDemoFailed: "run it again; what the last command printed says what is wrong",
}

// onlyWithForce says, for a command, what it does with an existing file when --force is
// given.
var onlyWithForce = map[string]string{
	"amtp backup":  "--force replaces it",
	"amtp restore": "--force moves it aside; nothing of it is deleted",
}

// advise gives a failure without a hint the hint of its code. A text that names the
// usage, or the flag that helps, needs none.
func (p *program) advise(f *failure) {
	switch {
	case f.hint != "" || strings.Contains(f.message, "Usage: ") || strings.Contains(f.message, "Run \"") ||
		strings.Contains(f.message, "with --"):
	case f.code == codeUsage && p.command != "":
		f.hint = fmt.Sprintf("run %q", p.command+" --help")
	case f.code == codeExists && onlyWithForce[p.command] != "":
		f.hint = onlyWithForce[p.command]
	default:
		f.hint = advice[f.code]
	}
}

// waitHint says how long a gateway asks to wait; "" when it does not.
func waitHint(e *amtp.Error) string {
	if e.RetryAfter <= 0 {
		return ""
	}
	return fmt.Sprintf("try again in %v", e.RetryAfter.Round(time.Second))
}
