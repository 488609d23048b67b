# Run by people and by CI alike: see scripts/.

check:
    scripts/test

build:
    scripts/build

bench:
    scripts/bench-build
