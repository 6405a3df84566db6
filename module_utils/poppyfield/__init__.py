"""What Poppyfield's Ansible modules share: pure functions, and one adapter to Docker (containers/engine.py)."""
