package cli

import "github.com/amtp-go/amtp"

// What docs/errors.md says beside the texts of the source. A new code wants a
// line in meaning (and its next step in advice.go), a new package a line in
// parts, and a new text one in steps or inside where its package asks for it;
// then: go test ./internal/cli -run TestErrorsPage -update

// meaning says of each code what happened, and whether the same request can
// succeed later.
var meaning = map[amtp.Code]struct{ what, again string }{
	amtp.CodeInvalidMessage:       {"The message is not one of the protocol: JSON that cannot be read, or a member that is missing, unknown here or wrong.", "no"},
	amtp.CodeUnsupportedVersion:   {"The message, or the request, is of a version of the protocol that the gateway does not speak.", "no"},
	amtp.CodeSchemaValidation:     {"The payload does not fit the schema that the message names.", "no"},
	amtp.CodeMessageTooLarge:      {"The request is larger than the gateway takes (`message.max_size`).", "no"},
	amtp.CodeInvalidRecipient:     {"A recipient is no address, or there are too many.", "no"},
	amtp.CodeRecipientUnavailable: {"The recipient was not reached in all the time there was.", "yes, as a new message"},
	amtp.CodeRecipientNotFound:    {"The recipient's domain is not served here and cannot be reached.", "no"},
	amtp.CodeAgentUnknown:         {"The domain is right, but no agent of that name is registered.", "once the agent exists"},
	amtp.CodeAuthenticationFailed: {"A key was shown and is not right: unknown, expired or revoked.", "with another key"},
	amtp.CodeRateLimitExceeded:    {"Too many requests, or too many wrong keys, from this address or by this caller.", "after `Retry-After`"},
	amtp.CodeTemporaryFailure:     {"The gateway cannot do it now: it is busy, stopping, paused after a restore, or its disk is full.", "after `Retry-After`; to send, with the same idempotency key"},
	amtp.CodeCoordinationFailed:   {"The workflow that the message asks for cannot be run.", "no"},

	amtp.CodeLocalSenderAuthRequired:  {"The sender is an agent of this gateway, and its key was not shown.", "with the sender's key"},
	amtp.CodeSenderCredentialMismatch: {"The key is right, and it is not the sender's.", "with the sender's key"},
	amtp.CodeSignatureRequired:        {"A message from this domain has to be signed, and it has no signature.", "once it is signed"},
	amtp.CodeSignatureInvalid:         {"A message from this domain has to be signed, and its signature does not verify.", "no"},
	amtp.CodeSignatureKeyUnavailable:  {"The key that would verify the signature is not in DNS, or DNS does not answer.", "after `Retry-After`, as it is"},

	amtp.CodeInvalidRequest:       {"The request is wrong in a way that has nothing to do with a message.", "no"},
	amtp.CodeInvalidLimit:         {"`limit` is out of its bounds.", "no"},
	amtp.CodeInvalidOffset:        {"`offset` is out of its bounds.", "no"},
	amtp.CodeInvalidSince:         {"`since` is no date and time.", "no"},
	amtp.CodeInvalidParameter:     {"Another parameter, or an address in the path, is wrong.", "no"},
	amtp.CodeUnsupportedMediaType: {"The body is declared to be something else than plain JSON.", "no"},
	amtp.CodeMethodNotAllowed:     {"The path exists, the method does not; `Allow` names those that do.", "no"},
	amtp.CodeMisdirected:          {"The request names a host that is not this gateway. In the development profile only the machine's own names are.", "under another name"},
	amtp.CodeNotFound:             {"The gateway has no such path.", "no"},
	amtp.CodeNotImplemented:       {"The path is one of the protocol, or of the reference gateway, that this gateway does not have.", "no"},
	amtp.CodeMessageNotFound:      {"There is no such message, or it is not one that the caller may see; the answer is the same.", "no"},
	amtp.CodeKeyNotFound:          {"The agent has no key of that id.", "no"},
	amtp.CodeDomainNotFound:       {"There is no such domain, or it has no gateway that could be asked.", "no"},
	amtp.CodeJobNotFound:          {"The queue has no such job: it was delivered, given up or cancelled.", "no"},
	amtp.CodeDeadLetterNotFound:   {"There is no such dead letter: it was queued again, removed, or never was.", "no"},
	amtp.CodeIdempotencyKeyReused: {"The idempotency key or message id stands for a message with other content already.", "with another key"},
	amtp.CodeConflict:             {"The name is taken, or what is asked for contradicts what is there.", "no"},
	amtp.CodeMissingAuthorization: {"The request needs an agent's key and shows none.", "with a key"},
	amtp.CodeAccessDenied:         {"The key is right and does not allow this.", "with another key"},
	amtp.CodeAdminAuthRequired:    {"The request needs the admin key and shows none.", "with the admin key"},
	amtp.CodeAdminAccessDenied:    {"The key that was shown is no admin key.", "with the admin key"},
	amtp.CodeRegistrationFailed:   {"The agent cannot be registered like that.", "no"},
	amtp.CodeCancelled:            {"The message was withdrawn before it was delivered.", "yes, as a new message"},
	amtp.CodeCertificateFailed:    {"Another certificate could not be had from the authority or the files; the one in use goes on.", "once the cause is gone"},
	amtp.CodeInternal:             {"The gateway failed, through no fault of the request.", "yes"},
	amtp.CodeUnknown:              {"An answer that is not the protocol's; only clients say it.", "no"},

	codePrivate:     {"The message contains a key, a config file or a file of a data directory; it was not sent.", "without it"},
	codeUnproven:    {"Nobody proved who wrote the message that should be answered.", "with `--unproven`, if that is meant"},
	codeUsage:       {"The command line, or the configuration, is wrong.", "no"},
	codeNotSetUp:    {"It is not known who the caller is, or for which gateway.", "after `amtp setup`"},
	codeUnreachable: {"No gateway answers at the URL.", "yes"},
	codeForeign:     {"Another user of this machine listens at the gateway's address. Nothing was sent to it.", "once your gateway runs, or the person whose keys these are has named its user"},
	codeTimeout:     {"The gateway did not answer in time; what was asked may have been done.", "yes; to send, with the same `--idempotency-key`"},
	codeNotShown:    {"The result could not be written to stdout. What was asked for has been done.", "for commands that only show something"},
	codeInterrupted: {"The command was stopped by a signal; what was asked may have been done.", "yes; to send, with the same `--idempotency-key`"},
	codeNotStarted:  {"The gateway did not start, or ended because its disk failed.", "once the cause is gone"},
	codeCopyFailed:  {"A backup or a restore failed. Nothing that was there is lost.", "once the cause is gone"},
	codeExists:      {"A file or database is in the way.", "with `--force`"},
	codeNoDatabase:  {"The directory, or the database, is none of a gateway.", "no"},
	codeServed:      {"Gateways are connected to the database.", "once they are stopped"},
	codeUnsound:     {"The file is damaged, or no database of a gateway.", "no"},
	codeNoBackup:    {"The backup that was named does not exist.", "no"},
	"IS_CLONE":      {"The directory of skills has a clone of a repository where the skill would go.", "no"},
	"IS_LINK":       {"A file or directory that would be written is a link or something else that is no plain file.", "no"},
	"NO_PERMISSION": {"A file may not be written.", "with the right to write there"},
	"NOT_WRITTEN":   {"A file could not be written; what was there is there.", "once the cause is gone"},
	codeNoProfile:   {"There is no profile of that name.", "after `amtp setup --profile NAME`"},

	codeNoManager:     {"There is no systemd and no launchd that could run a service.", "no"},
	codeServiceFailed: {"The service manager did not do it, or the gateway that it started does not run.", "once the cause is gone"},
	codeNoService:     {"There is no service that amtp installed.", "no"},
	codePackaged:      {"A package of the system has the service already.", "no"},

	codeDemoFailed: {"A step of the demonstration failed.", "yes"},
}

// fromElsewhere are the codes with which this gateway answers nobody, and whose
// they are.
var fromElsewhere = map[amtp.Code]string{
	amtp.CodeSchemaValidation: "Another gateway says so of its recipient; this one checks no payload against a schema.",
}

// withoutStatus are the codes of ours that answer no request: they stand in the
// status of a recipient, or are a client's.
var withoutStatus = []amtp.Code{amtp.CodeRecipientUnavailable, amtp.CodeCancelled, amtp.CodeUnknown}

// parts are the packages whose errors have no code, and what to do about them.
// Where the next step differs from text to text it stands in steps.
var parts = map[string]struct{ title, next string }{
	"":                        {"Addresses, ids and schemas", "Write it as the text says."},
	"internal/canonical":      {"Numbers", "Write the number with fewer digits, or as a string."},
	"internal/strictjson":     {"JSON", "Send one JSON document in UTF-8, every name once, within the bounds that the text names."},
	"internal/access":         {"Signing keys", "`amtp keys list` shows them. They open with the `seal.key` of the data directory in which they were made, which no backup holds."},
	"internal/agent":          {"What an agent says about itself", "Correct it and repeat the request."},
	"internal/httpapi":        {"Requests", "Correct what the text names and repeat the request."},
	"internal/gateway":        {"States and secrets", "Where nothing else is said, it is a fault of the program: the log has it, please report it."},
	"internal/intake":         {"Recipients", "Correct the recipient that the text names, or send without it."},
	"internal/config":         {"Values of settings", "Correct the value at the place that is named before the text; `amtp config check` tries it without starting anything."},
	"internal/ownfile":        {"Files of assistants", "Name the directory itself, or remove what is in the way: `--dry-run` shows what would be done."},
	"internal/datadir":        {"The data directory", ""},
	"internal/loopback":       {"Listeners of this machine", "Start the gateway, or find out who listens at its address: `ss -ltnp`. Only if you know that the user runs your gateway: `AMTP_GATEWAY_USER`."},
	"internal/defect":         {"Defects of the program", "One message, one agent or one request is concerned, and is tried again; the log has the place. Please report it."},
	"internal/service":        {"Files of a service", "Name paths and settings without such characters."},
	"internal/app":            {"Starting and stopping", ""},
	"internal/discovery":      {"Finding another domain", "The gateway looks again by itself. If it stays: `dig +short TXT _amtp.DOMAIN`, and ask whoever runs that domain."},
	"internal/domains":        {"Asking another domain", "Ask again later, or whoever runs that domain."},
	"internal/courier":        {"Delivering to another gateway", "The gateway tries again by itself, for up to a week; `amtp status ID` says when next."},
	"internal/outbound":       {"Connections to others", "The gateway tries again by itself. An address that is not public is refused, unless the configuration allows it."},
	"internal/queue":          {"The queue", "The gateway tries again by itself; `amtp status ID` says when next."},
	"internal/report":         {"Reports of failures", "The gateway tries again by itself; its log has the cause."},
	"internal/store":          {"Secrets and deliveries", "It is a fault of the program: the log has it, please report it."},
	"internal/store/postgres": {"PostgreSQL", "Correct the server or the database as the text says; docs/operations-postgres.md has what is needed of them. The gateways go on by themselves."},
	"internal/store/sqlite":   {"The database, backup and restore", "Where nothing else is said: a gateway that runs answers `INTERNAL` and has the text in its log; `amtp check DIR` looks at the database."},
	"internal/certificate":    {"Certificates", "The one in use goes on, and the gateway tries again by itself; `amtp cert show` says when. The text has the cause: fix that, then `amtp cert renew`."},
	"internal/peering":        {"Peers without DNS", "`amtp peer list` shows what was said of the peer, `amtp peer check DOMAIN` what is wrong."},
	"internal/echo":           {"The echo", "Remove that agent, or leave `echo.enabled` false; otherwise the gateway's log has the cause."},
	"internal/invite":         {"Invitations", "Where nothing else is said, it is a fault of the program: the log has it, please report it."},
	"internal/receipt":        {"Receipts", "Nothing is lost but that the sender does not hear of it; whoever runs the domain that sent them corrects its gateway."},
}

// steps are what to do about a text of a part that has no single answer.
var steps = map[string]string{
	"the data directory is not the gateway's alone: …":                                          "The text says which command takes the rights from others, or whose the file is. `amtp check DIR` lists all of them. Where the system lets nobody else in, as in a container: `AMTP_DATA_DIR_OPEN=true`.",
	"…; AMTP_DATABASE_UNVERIFIED=true allows it all the same":                                   "Add `sslmode=verify-full` to the address of the database. On a network that is yours alone, set `AMTP_DATABASE_UNVERIFIED=true`.",
	"a seal key has 32 bytes":                                                                   "Put `seal.key` of the same data directory back; it is no part of a backup.",
	"a secret cannot be opened: it was sealed with another key":                                 "Put `seal.key` of the same data directory back, or set the secret anew.",
	"put back the one that belongs to this database, or make new signing keys: amtp keys reset": "The text before it names the file. `amtp keys reset`",
	"read the signing key: …":                                                                   "Make the file that `AMTP_SIGNATURE_PRIVATE_KEY_FILE` names readable for the user who runs the gateway.",
	"read the signing key in …: …":                                                              "Name a file in PEM form with one private key: `amtp config check` says what is wrong with this one.",
	"the key in … does not become …: …":                                                         "`AMTP_SIGNATURE_KEY_ID=NAME`, a name that no key had: `amtp keys list` shows those. Or put the former file back.",
	"read the seal key: …":                                                                      "Make `seal.key` in the data directory readable for the user who runs the gateway.",
	"this gateway has no domain of its own, so it signs nothing; name it as for amtp serve, with --domain or AMTP_DOMAIN": "`amtp keys reset --domain DOMAIN`",
	"… does not open the signing keys of this database; …":                                                                "Put `seal.key` of the same data directory back; it is no part of a backup. If it is lost: `amtp keys reset`.",
	"… has … bytes and not …, so it is no seal key; …":                                                                    "Put `seal.key` of the same data directory back; it is no part of a backup. If it is lost: `amtp keys reset`.",
	"… is missing, and only it opens the signing keys of this database; …":                                                "Put `seal.key` of the same data directory back; it is no part of a backup. If it is lost: `amtp keys reset`.",
	"there is no seal key": "Put `seal.key` back into the data directory, or set the secret anew.",

	"claim the data directory: …": "Make the directory writable for the user who runs the gateway, or name another with `--data-dir`.",
	"the data directory … is in use by …. Stop that gateway first, or choose another directory with --data-dir": "Use the gateway that runs, or stop it: `kill PID`.",
	"… was deleted":                                             "Another program deleted a file under the gateway, which ended. Find out which, then start the gateway again.",
	"… was replaced by another file":                            "Another program put a file in the place of one of the gateway's, which ended. Find out which, then start the gateway again.",
	"a file of a gateway's data directory":                      "Name a file elsewhere: what a gateway keeps in its data directory is not written over.",
	"… is …, …: name another file":                              "Name a file elsewhere: what a gateway keeps in its data directory is not written over.",
	"there is no place for the data: set AMTP_DATA_DIR":         "`AMTP_DATA_DIR=DIR amtp serve`",
	"there is no place for the data: set AMTP_DATA_DIR or HOME": "`AMTP_DATA_DIR=DIR amtp serve`",

	"a move into this database has begun and is not done: run amtp migrate-store again":                               "`amtp migrate-store --from DIR`, which goes on where it was.",
	"a move of the data in … to … has begun and is not done: run amtp migrate-store again, or delete … to give it up": "`amtp migrate-store --from DIR`, which goes on where it was.",
	"the data in … was moved to … on …: start with AMTP_DATABASE_URL. To go back to what was here then, delete …":     "`AMTP_DATABASE_URL=postgres://… amtp serve`",
	"leave a note in the data directory: …": "Make the data directory writable for the user who moves it.",
	"…: the data directory has … rows with the hash … and the database … with …: somebody wrote to the database meanwhile; empty it and move again": "Make the database anew, delete `moved.json` in the data directory, and move again.",
	"… cannot be read: …": "Look at the file; it says where the data was moved, and no gateway starts where it is.",
	"give every gateway on one database the same file: AMTP_SEAL_KEY_FILE, or seal.key in its data directory": "Copy `seal.key` of the first gateway, or name one file for all: `AMTP_SEAL_KEY_FILE`. If it is lost: `amtp keys reset`.",
	"… is not the seal key of this database; …":                                                               "Copy `seal.key` of the first gateway, or name one file for all: `AMTP_SEAL_KEY_FILE`. If it is lost: `amtp keys reset`.",
	"the admin key of the gateways on this database: …":                                                       "Give every gateway the same `seal.key`, or an admin key of its own: `AMTP_ADMIN_KEY`.",
	"make the seal key: …": "Make the data directory writable for the user who runs the gateway.",

	"…: …; choose another address with …":                                                     "A gateway of yours that listens there can be used: `amtp setup --name NAME`. Else stop the program that has the port, or name another one: `amtp serve --address 127.0.0.1:9000`.",
	"another program listens there already":                                                   "`amtp serve --address 127.0.0.1:9000`, or stop the program that has the port.",
	"cannot listen on …: …; choose another address with …":                                    "`amtp serve --address 127.0.0.1:9000`. Ports below 1024 need a right of their own.",
	"load the TLS certificate: …":                                                             "`amtp config check` says what is wrong with the certificate or its key.",
	"make the admin key: …":                                                                   "Make the data directory writable for the user who runs the gateway.",
	"the data directory cannot be made: …":                                                    "Name a directory that can be made: `--data-dir DIR`.",
	"read the admin key: …":                                                                   "Make `admin.key` in the data directory readable for the user who runs the gateway.",
	"give the agents of … their addresses in …: …":                                            "Look at the disk and start again: no agent has moved.",
	"the admin key file … does not hold one key; delete it and start again to make a new key": "Delete it and start again; the former admin key ends with that.",
	"…; nothing more is accepted, so the gateway stops":                                       "Another program deleted, replaced or wrote to a file of the database. Find out which. Where the file was moved, put it back; else `amtp check DIR`, then start the gateway again. Files with set-aside in their names belong to what was there before.",
	"…: …; another process may use the directory now, so the gateway stops":                   "Start the gateway again. Nothing deletes `amtp.lock` but people and their scripts.",
	"the disk reported an error; nothing more is written, so the gateway stops":               "Look at the disk and at the system's log, then `amtp check`, then start again. What was answered with 202 is there, or `amtp check` says that it is not.",
	"read acme.ca_file: …":                                                                    "`amtp config check` says what is wrong with the file.",
	"read outbound.ca_file: …":                                                                "`amtp config check` says what is wrong with the file.",
	"read the records of other domains: …":                                                    "`amtp config check` says what is wrong with `peers` or `dns.mock_records`.",
	"serve: …":                                                                                "Start it again; if it stays, the text names the cause.",
	"the backup is made, but not noted for amtp check: …":                                     "The backup is good. Make the data directory writable, so that `amtp check` knows of the next one.",

	"open the database in …: …": "`amtp check DIR`",
	"the database has schema … and this release knows …: it was written by a newer release; run that one, or restore a backup made before the upgrade": "Run the newer release again, or `amtp restore FILE --force` with a backup from before the upgrade.",
	"PRAGMA … is … and not …: a message could be lost in a power cut, so the database is not opened":                                                   "The file system refuses what the promise needs. Put the data directory on a local disk: `--data-dir DIR`.",
	"make the disk reserve: …":                    "Make room: 16 MiB at least.",
	"prepare …: …":                                "`amtp check DIR`; the database is not one of this release.",
	"move the former database aside: …":           "Make the data directory writable; nothing was moved.",
	"the journal of … could not be moved into it": "End every program that has the file open, then run it again.",
	"verify the backup: …":                        "Run the backup again; if it stays, `amtp check DIR` and look at the disk.",
	"exists already":                              "`--force`, or another name.",
	"is not a sound database of a gateway":        "Take another backup. Of a data directory: `amtp check DIR`.",
	"there is no database":                        "`--data-dir DIR`",
	"… has schema … and this release knows …: use the release that wrote it, or a newer one": "Restore it with that release.",
	"… is not a file":                       "Name a file.",
	"another process has the database …: …": "Stop the gateway that runs on it. It is a lock on the database itself, so a deleted `amtp.lock` or another name of the directory does not matter.",
	"… is gone, and its journal …-wal is there: put the database back, or restore a backup with amtp restore; to begin anew, move the journal away": "Put the database back where it was moved from, or `amtp restore FILE`.",
	"has a journal next to it, so it is a database in use and no backup; make one with amtp backup":                                                 "`amtp backup FILE --data-dir DIR`",
	"… is the database itself":          "Name a file outside of the data directory.",
	"cannot connect to gateway at …: …": "As `GATEWAY_UNREACHABLE`.",
	"cannot use the gateway URL …: …":   "Write it as `https://host`, or `http://127.0.0.1:8080` for a gateway on this machine.",
	"the answer broke off: …":           "Send the request again, with the same idempotency key.",
}

// inside are texts that never leave the program but for the log.
var inside = []string{
	"too large", "locked", "busy", "exists", "not found", "stale", "conflict", "key or id was reused", "the store is closed", "the store is paused",
	"a delivery that is … cannot …", "too many bytes of bodies are in work", "enough", "the row that was written is not there",
	"another message may have the same content", "cannot bind a …", "there is no VFS …", "…: another process holds the database", "…: the disk is full",
	"the lock file is another one meanwhile",
}
