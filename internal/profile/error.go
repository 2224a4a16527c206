package profile

import (
	"fmt"

	"github.com/amtp-go/amtp"
)

// Error says why an identity cannot be used or saved, and what to do about it.
type Error struct {
	Code    amtp.Code // one of the codes below, [amtp.CodeConflict] or [amtp.CodeInternal]
	Message string    // what is wrong, as a sentence
	Hint    string    // the next step, "" when the code alone says it
}

func (e *Error) Error() string { return e.Message }

// The codes of errors that no gateway reports.
const (
	CodeUsage     amtp.Code = "USAGE"             // what was asked for is wrong
	CodeNotSetUp  amtp.Code = "NOT_SET_UP"        // it is not known who the user is
	CodeNoProfile amtp.Code = "PROFILE_NOT_FOUND" // there is no profile of that name
)

func usagef(format string, args ...any) *Error {
	return &Error{Code: CodeUsage, Message: fmt.Sprintf(format, args...)}
}

// settingNames are the settings that may be missing, for people.
var settingNames = map[string]string{
	MemberGateway: "the gateway's URL", MemberName: "the agent's name", MemberAddress: "the agent's address",
	MemberKey: "the agent's key", MemberAdminKey: "the gateway's admin key",
}

// Missing says that a setting, named by its member, is neither in the config file nor in
// the environment. The advice is a sentence.
func Missing(setting, advice string) *Error {
	return &Error{Code: CodeNotSetUp,
		Message: "Missing config: " + settingNames[setting] + " (" + setting + "). " + advice,
		Hint:    `run "amtp setup --name <agent-name>"`}
}
