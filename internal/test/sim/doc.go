// Package sim runs two whole gateways in one process, in simulated time, and breaks
// everything around them: their clocks, disks, power, DNS and the network between them.
// It has only tests.
//
// One number, the seed, decides what agents and operators do and what fails when. The
// parts are the real ones: intake, the SQLite store, the queue, the couriers, the
// signatures, receipts, and the handlers of the API. Only the surroundings of a gateway
// are simulated. In the end everything works again and the queues have time to empty.
// Then the simulation compares what the gateways show with their earlier answers. Each
// message that was answered with 202 is in each inbox once, or its sender was told why
// not. Nothing is there twice, nothing is lost, and nothing waits. Workers claim letters,
// also from a shared mailbox. No letter is under two live leases, and no lease that is
// over is accepted. A letter with a deadline that was not answered has one notice.
//
//	go test ./internal/test/sim                          # 10,000 seeds
//	go test ./internal/test/sim -run TestSeed -seed 4711 # one of them, with its trace
package sim
