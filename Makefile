# For those whose fingers type make; each line is a command of its own.
.PHONY: build test check demo fuzz bench clean

build: ## a static binary in this folder
	CGO_ENABLED=0 go build -trimpath -o scimbridge ./cmd/scimbridge

test: ## the tests
	go test ./...

check: ## all that CI checks
	scripts/check

demo: ## one contractor's life against an emulated tenant
	go run ./cmd/scimbridge demo

fuzz: ## every fuzz target, half a minute each
	scripts/fuzz 30s

bench: ## what it carries on this machine
	scripts/bench

clean:
	rm -rf scimbridge dist .cache
