# Shared by the layers' Makefiles. `sam build` calls them from the project's root (WorkingDirectory in
# template.yaml) with ARTIFACTS_DIR set. ARCH must be template.yaml's parameter Architecture:
#   ARCH=x86_64 sam build
ARCH ?= arm64
PYTHON312 := $(shell layers/python312)
BUILD = "$(PYTHON312)" layers/build.py --architecture "$(ARCH)"
