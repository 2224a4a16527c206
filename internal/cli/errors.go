package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/amtp-go/amtp"
	"github.com/amtp-go/amtp/internal/loopback"
	"github.com/amtp-go/amtp/internal/profile"
	"github.com/amtp-go/amtp/internal/render"
)

// failure is an error with the text for the user.
type failure struct {
	exit       int
	code       amtp.Code
	message    string
	details    map[string]any
	recipients []amtp.RecipientStatus // what became of each, when the gateway said so
	hint       string                 // what to do next: a command to type
	retryable  bool                   // the same command may succeed later
	gateway    bool                   // it comes from a gateway: the code is shown
	quiet      bool                   // the result on stdout says it already
}

func (f *failure) Error() string { return f.message }

// told is a failure that the result on stdout already reports.
func told(exit int) *failure { return &failure{exit: exit, quiet: true} }

// Codes of failures that no gateway reported; they appear in JSON output only.
const (
	codeUsage                 = profile.CodeUsage
	codeNotSetUp              = profile.CodeNotSetUp
	codeUnreachable amtp.Code = "GATEWAY_UNREACHABLE"
	codeTimeout     amtp.Code = "TIMEOUT"
	codeForeign     amtp.Code = "FOREIGN_LISTENER"
	codeInterrupted amtp.Code = "INTERRUPTED"
	codeNotStarted  amtp.Code = "GATEWAY_FAILED" // a gateway did not start, or did not end as it should
	codeCopyFailed  amtp.Code = "COPY_FAILED"
	codeExists      amtp.Code = "EXISTS"
	codeNoDatabase  amtp.Code = "NO_DATABASE"
	codeServed      amtp.Code = "IS_SERVED"
	codeUnsound     amtp.Code = "UNSOUND"
	codeNoBackup    amtp.Code = "NO_BACKUP"
	codeNoProfile             = profile.CodeNoProfile
	codeDemoFailed  amtp.Code = "DEMO_FAILED"
	codePrivate     amtp.Code = "PRIVATE"   // the content of a message is the user's secret
	codeAutomatic   amtp.Code = "AUTOMATIC" // a program wrote the message to answer by itself
	codeUnproven    amtp.Code = "UNPROVEN"  // the sender of the message to answer is not proven

	codeNoManager     amtp.Code = "NO_SERVICE_MANAGER"
	codeServiceFailed amtp.Code = "SERVICE_FAILED"
	codeNoService     amtp.Code = "NO_SERVICE"
	codePackaged      amtp.Code = "IS_PACKAGED"
)

func usageErrorf(format string, args ...any) *failure {
	return &failure{exit: exitUsage, code: codeUsage, message: fmt.Sprintf(format, args...)}
}

// ofProfile is the failure for an error of the config file or of a profile.
func ofProfile(e *profile.Error) *failure {
	return &failure{exit: profileExits[e.Code], code: e.Code, message: e.Message, hint: e.Hint}
}

// profileExits are the exit codes of the errors of package profile.
var profileExits = map[amtp.Code]int{
	codeUsage: exitUsage, codeNotSetUp: exitUnauthorised, codeNoProfile: exitNotFound,
	amtp.CodeConflict: exitConflict, amtp.CodeInternal: exitInternal,
}

func unknownCommand(cmd *cobra.Command, name string) error {
	of, group, _ := strings.Cut(cmd.CommandPath(), " ")
	f := usageErrorf("Unknown command: %q. Run %q for usage.", name, strings.TrimSpace(of+" help "+group))
	if near := nearestCommand(cmd, name); near != "" {
		f.hint = fmt.Sprintf("did you mean %q?", cmd.CommandPath()+" "+near)
	}
	return f
}

// report tells the user about err and returns the exit code.
func (p *program) report(err error) int {
	if err == nil {
		return exitDone
	}
	f := p.explain(err)
	if f.quiet {
		return f.exit
	}
	p.advise(f)
	label := "Error"
	if f.gateway {
		label = fmt.Sprintf("Error (%s)", render.Clean(string(f.code)))
	}
	p.notef("%s: %s\n", p.paint(p.stderr, red, label), render.Clean(f.message))
	if more := f.unsaid(); len(more) > 0 {
		p.notef("  Details: %s\n", render.CleanJSON(more))
	}
	for _, r := range f.recipients {
		p.notef("  -> %s\n", render.Recipient(r))
	}
	if f.hint != "" {
		p.notef("  %s %s\n", p.paint(p.stderr, cyan, "Hint:"), render.Clean(f.hint))
	}
	if p.json && p.outputError() == nil {
		p.printFailure(f)
	}
	return f.exit
}

// unsaid returns the details that tell a person more than the message does. Booleans,
// and the path of the request, are for programs.
func (f *failure) unsaid() map[string]any {
	more := maps.Clone(f.details)
	maps.DeleteFunc(more, func(name string, value any) bool {
		switch value := value.(type) {
		case bool:
			return true
		case string:
			return name == "endpoint" || saysAll(f.message, value)
		case float64, json.Number:
			return saysAll(f.message, fmt.Sprint(value))
		}
		return false
	})
	return more
}

// saysAll reports whether text contains every word of what.
func saysAll(text, what string) bool {
	words := func(s string) []string {
		list := strings.FieldsFunc(strings.ToLower(s), func(r rune) bool {
			return unicode.IsSpace(r) || strings.ContainsRune(`:;,"'()`, r)
		})
		for i := range list {
			list[i] = strings.TrimRight(list[i], ".")
		}
		return list
	}
	said := words(text)
	return !slices.ContainsFunc(words(what), func(word string) bool { return !slices.Contains(said, word) })
}

// problem is a failure in JSON.
type problem struct {
	Code       amtp.Code              `json:"code"`
	Message    string                 `json:"message"`
	Hint       string                 `json:"hint"`
	Retryable  bool                   `json:"retryable"`
	Details    map[string]any         `json:"details,omitempty"`
	Recipients []amtp.RecipientStatus `json:"recipients,omitempty"`
}

func (p *program) printFailure(f *failure) {
	err := p.printJSON(struct {
		OK    bool    `json:"ok"`
		Error problem `json:"error"`
	}{false, problem{f.code, f.message, f.hint, f.retryable, f.details, f.recipients}})
	if err != nil {
		p.notef("Error: %s\n", render.Sentence(err))
	}
}

// explain turns any error into its meaning for the user.
func (p *program) explain(err error) *failure {
	var f *failure
	var mine *profile.Error
	var answer *amtp.Error
	var lost *amtp.ConnectError
	var badURL *amtp.URLError
	switch {
	case errors.As(err, &f):
		return f
	case errors.As(err, &mine):
		return ofProfile(mine)
	case errors.As(err, &answer):
		return p.explainAnswer(answer)
	case errors.Is(err, context.Canceled):
		return &failure{exit: exitInternal, code: codeInterrupted, message: "Interrupted.", retryable: true}
	case errors.As(err, &lost):
		return p.explainLost(lost)
	case errors.As(err, &badURL):
		return &failure{exit: exitUsage, code: codeUsage, message: render.Sentence(badURL),
			hint: "set AMTP_GATEWAY_URL, or give --gateway https://host"}
	}
	return &failure{exit: exitInternal, code: amtp.CodeInternal, message: render.Sentence(err)}
}

func (p *program) explainLost(e *amtp.ConnectError) *failure {
	var foreign *loopback.ForeignError
	if errors.As(e, &foreign) && foreign.User == "" {
		return &failure{exit: exitRefused, code: codeForeign,
			message: fmt.Sprintf("This system does not show which user listens at %s, so that may not be your gateway. Nothing was sent to it.",
				e.URL),
			hint: `only the person whose keys these are says that it is the gateway: "amtp help setup" tells how`}
	}
	if errors.As(e, &foreign) {
		return &failure{exit: exitRefused, code: codeForeign,
			message: fmt.Sprintf("What listens at %s belongs to the user %s, who is not known to run your gateway. Nothing was sent to it.",
				e.URL, foreign.User)}
	}
	if errors.Is(e, context.DeadlineExceeded) {
		return &failure{exit: exitUnreachable, code: codeTimeout, retryable: true,
			message: fmt.Sprintf("The gateway at %s did not answer within %v.", e.URL, p.timeout+p.wait),
			hint:    "try again with a longer --timeout"}
	}
	f := &failure{exit: exitUnreachable, code: codeUnreachable, retryable: true,
		message: fmt.Sprintf("Cannot connect to gateway at %s. Is it running?", e.URL),
		details: map[string]any{"cause": e.Err.Error()},
		hint:    "check the URL, or set AMTP_GATEWAY_URL"}
	if loopback.IsURL(e.URL) {
		f.hint = `run "amtp serve" in another terminal`
	}
	return f
}

func (p *program) explainAnswer(e *amtp.Error) *failure {
	f := &failure{
		exit: exitFor(e), code: e.Code, message: e.Message, details: e.Details, gateway: true,
		retryable: e.Status == http.StatusTooManyRequests || e.Status == http.StatusRequestTimeout ||
			e.Status > http.StatusNotImplemented,
	}
	if e.Result != nil {
		f.recipients = e.Result.Recipients
	}
	switch {
	case e.Status == http.StatusUnauthorized && p.keyOfEnv && !strings.HasPrefix(string(e.Code), "ADMIN_"):
		f.hint = "401 Unauthorized: the gateway does not know the key in AMTP_API_KEY; set it to the agent's own, or unset it to use the saved one"
	case e.Status == http.StatusUnauthorized && !strings.HasPrefix(string(e.Code), "ADMIN_"):
		f.hint = fmt.Sprintf("401 Unauthorized: the API key may have expired; run %q",
			"amtp setup --name "+p.nameForHint()+p.again())
	case f.retryable:
		f.hint = waitHint(e)
	}
	return f
}

// nameForHint is the agent that runs the command, or a placeholder when that is not
// known.
func (p *program) nameForHint() string {
	if p.name != "" {
		return p.name
	}
	return "<agent-name>"
}

// exitFor is the exit code for a gateway's answer, or for a request that the client
// refused to send.
func exitFor(e *amtp.Error) int {
	switch e.Code {
	case amtp.CodeSchemaValidation, amtp.CodeMessageTooLarge, amtp.CodeRateLimitExceeded,
		amtp.CodeSignatureRequired, amtp.CodeSignatureInvalid, amtp.CodeSignatureKeyUnavailable:
		return exitRefused
	case amtp.CodeIdempotencyKeyReused:
		return exitConflict
	case amtp.CodeCertificateFailed:
		return exitInternal
	}
	switch e.Status {
	case http.StatusBadRequest, http.StatusUnprocessableEntity:
		return exitUsage
	case http.StatusUnauthorized, http.StatusForbidden:
		return exitUnauthorised
	case http.StatusNotFound:
		return exitNotFound
	case http.StatusConflict:
		return exitConflict
	case http.StatusRequestEntityTooLarge, http.StatusTooManyRequests:
		return exitRefused
	case http.StatusRequestTimeout, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return exitUnreachable
	}
	if e.Status == 0 && e.Code != amtp.CodeUnknown {
		return exitUsage
	}
	return exitInternal
}
