"""A whole run of site.yml beside a playbook of stock modules that reaches the same state; and runs for many hosts."""
