# Each target is one line of real work. `make demo` and `make test` install what they need, by sudo where they must.
SHELL := /bin/bash
SUDO := $(if $(filter 0,$(shell id -u)),,sudo --preserve-env=LIZMAP_ARCHIVE,LIZMAP_SERVER_PLUGIN,LIZMAP_ARCHIVE_BEFORE,LIZMAP_SERVER_PLUGIN_BEFORE,POPPYFIELD_ARCHITECTURE,POPPYFIELD_PROFILE,POPPYFIELD_PROFILE_BEFORE,POPPYFIELD_SSH_PORT,POPPYFIELD_MAP_PORT)
DEMO := $(SUDO) build/venv/bin/python -m workshop.demo
TEST := build/venv-test/bin
# A part of the tests: how long it took and how it ended is noted for the table at the end.
PART = $(TEST)/python -m tests.parts run $@

.PHONY: help laptop fleet shell logs watch demo demo-stop demo-clean docs locks test test-parts test-images test-machines test-all test-long long test-chores test-backup test-upgrade test-hardening test-rebuild test-interrupted test-bundle test-machine lint unit unit-newest mutation engine page molecule molecule-default molecule-lizmap prepare-test images lizmap images-check images-compare test-lizmap bench-build bench-modules bench-run bench-memory bench-text bench-before bench-serve bench-abuse bench-power-cuts bench-writes test-attacks attacks-begin attacks-report test-maps test-compose test-status test-page-faults docs-site test-docs test-hostile test-autonomy verify prove

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

shell: ## A shell in a container of one Pi: make shell HOST=pi-orchard [SERVICE=postgis] [AS_ROOT=true]
	@python3 -m pi_terminal shell '$(HOST)' '$(SERVICE)' '$(AS_ROOT)'

logs: ## Follow the log of a container of one Pi: make logs HOST=pi-orchard [SERVICE=postgis]
	@python3 -m pi_terminal logs '$(HOST)' '$(SERVICE)'

watch: ## How one Pi and its containers fare, every five seconds: make watch HOST=pi-orchard
	@python3 -m pi_terminal watch '$(HOST)'

laptop: ## Prepare this laptop to provision Pis: packages, Docker Engine, ARM interpreter, Python environment
	$(SUDO) python3 workshop/laptop/prepare.py laptop
	python3 workshop/laptop/prepare.py environment

fleet: ## Ask five questions, and write the answers to inventory/fleet
	@build/venv/bin/python -m new_fleet

demo: ## From this bare machine to a map that draws, on an emulated Pi; with Lizmap where LIZMAP_ARCHIVE and LIZMAP_SERVER_PLUGIN name its archives
	$(SUDO) python3 workshop/laptop/prepare.py demo
	$(DEMO) run

demo-stop: ## Stop the demo's Pi; it keeps its data
	$(DEMO) stop

demo-clean: ## Remove what the demo made
	$(DEMO) clean

test: prepare-test ## Everything that CI runs, and a table of its parts
	@$(TEST)/python -m tests.parts begin
	@$(MAKE) --no-print-directory test-parts; status=$$?; $(TEST)/python -m tests.parts table; exit $$status

test-parts: lint attacks-begin
	@echo 'Two at a time from here; what each prints comes when it ends, after up to half an hour.'
	$(MAKE) --no-print-directory --jobs=2 --output-sync=line test-images test-machines unit
	$(MAKE) --no-print-directory attacks-report

# One at a time: both images and lizmap build images on this machine's engine, and remove those of the other.
test-images:
	$(MAKE) --no-print-directory images
	$(MAKE) --no-print-directory lizmap

test-machines:
	$(MAKE) --no-print-directory engine
	$(MAKE) --no-print-directory page
	$(MAKE) --no-print-directory molecule-default

test-all: test ## What takes too long for each change, too: each chore on an emulated Pi, and what the targets below name
	@$(MAKE) --no-print-directory --keep-going test-long; status=$$?; $(TEST)/python -m tests.parts table; exit $$status

test-long: molecule-lizmap unit-newest test-chores test-backup test-upgrade test-hardening test-rebuild test-interrupted test-bundle test-machine long test-compose test-status test-maps test-docs docs-site test-attacks mutation

# What test-compose and test-maps play, with reports of their own, is left to them.
long: prepare-test ## The other tests with the marker long: what takes too long for each change
	$(TEST)/pytest tests/unit tests/templates -m long
	$(SUDO) $(TEST)/pytest tests/engine --no-skips -m long --ignore=tests/engine/test_compose.py
	$(SUDO) $(TEST)/pytest tests/images -m long --ignore=tests/images/test_gallery.py
	$(SUDO) $(TEST)/pytest tests/lizmap -m long $(addprefix --ignore=tests/lizmap/test_,in_a_browser.py gallery.py people_in_qgis.py)

test-chores: prepare-test ## Each chore on an emulated Pi, and its page: faults that it names, and its operator's orders
	$(SUDO) $(PART) bash tests/molecule chores

BACKUP_TESTS = backup.py sticks.py trial_maps.py last_minute.py restore_part.py sftp_backup.py exfat_backup.py
test-backup: prepare-test ## Backups, a dead card and its restore, with the images and on an emulated Pi: build/reports/restore.json
	$(SUDO) $(TEST)/pytest $(addprefix tests/images/test_,$(BACKUP_TESTS))
	$(SUDO) $(PART) bash tests/molecule backup

test-upgrade: prepare-test ## The database of an emulated Pi, from PostgreSQL 15 to 17 and back, cut off in its midst
	$(SUDO) $(PART) bash tests/molecule upgrade

test-hardening: prepare-test ## What protects the Pi itself, on an emulated Pi with a neighbour
	$(SUDO) $(PART) bash tests/molecule hardening

test-rebuild: prepare-test ## Docker broken by hand on an emulated Pi without internet, and brought back by site.yml
	$(SUDO) $(PART) bash tests/molecule rebuild

test-interrupted: prepare-test ## Runs on an emulated Pi that are interrupted in each stage: power, SSH, Docker, Ctrl-C
	$(SUDO) $(PART) bash tests/molecule interrupted

test-bundle: prepare-test ## A bare emulated Pi installed from a bundle, with no internet on either side, and cuts of power
	$(SUDO) $(PART) bash tests/molecule bundle

test-machine: prepare-test ## An emulated Pi that is a whole machine: kernel, FAT, reboots, clock, power cuts that lose what was not flushed, and site.yml on it
	$(SUDO) python3 workshop/laptop/prepare.py machine
	$(SUDO) $(PART) $(TEST)/pytest tests/machine

test-attacks: attacks-begin ## Only the tests that play attacks, and scanners: make test-attacks [LIZMAP_ARCHIVE=FILE LIZMAP_SERVER_PLUGIN=FILE]
	$(SUDO) python3 workshop/laptop/prepare.py attacks
	$(SUDO) build/venv-attacks/bin/pytest tests/unit --attacks
	$(SUDO) build/venv-attacks/bin/pytest tests/engine --attacks
	$(SUDO) build/venv-attacks/bin/pytest tests/images --attacks
	$(SUDO) build/venv-attacks/bin/pytest tests/lizmap --attacks --ignore=tests/lizmap/test_in_a_browser.py
	$(SUDO) build/venv-attacks/bin/pytest tests/scanners --no-skips
	$(SUDO) build/venv-attacks/bin/python -m tests.attack_report

test-hostile: ## Only the tests that play the states in which fleets and Pis were found: build/reports/hostile-pi.json
	$(SUDO) rm -rf build/reports/hostile build/reports/hostile-pi.json
	$(SUDO) $(TEST)/pytest tests/unit tests/templates -m field
	$(SUDO) $(TEST)/pytest tests/engine -m field --no-skips
	$(SUDO) $(TEST)/python -m tests.field_report

test-autonomy: prepare-test ## Only the tests that show what a Pi can do far from any network: build/reports/autonomy.json
	$(SUDO) python3 workshop/laptop/prepare.py lizmap
	$(SUDO) python3 workshop/laptop/prepare.py machine
	$(SUDO) rm -rf build/reports/autonomy build/reports/autonomy.json
	$(SUDO) $(TEST)/pytest tests/unit -m autonomy
	$(SUDO) $(TEST)/pytest tests/engine -m autonomy --no-skips
	$(SUDO) build/venv-lizmap/bin/pytest tests/images -m autonomy
	$(SUDO) bash tests/molecule default
	$(SUDO) bash tests/molecule bundle
	$(SUDO) $(TEST)/pytest tests/machine -m autonomy
	$(SUDO) $(TEST)/python -m tests.autonomy_report

attacks-begin:
	$(SUDO) rm -rf build/reports/attacks build/reports/attacks.json

attacks-report:
	$(SUDO) $(TEST)/python -m tests.attack_report

prepare-test:
	$(SUDO) python3 workshop/laptop/prepare.py test

lint: ## Ansible, YAML, Python and shell style
	$(PART) bash tests/lint

unit: ## Tests that need no Pi, and how much of the modules they cover
	$(PART) $(TEST)/coverage run -m pytest tests/unit tests/templates -m 'not long'
	$(TEST)/python -m tests.branch_coverage

unit-newest: ## The same on the newest Python and ansible-core that are maintained, in a root of Debian's newer release
	$(SUDO) $(PART) $(TEST)/python -m workshop.laptop.newest

mutation: ## Change the planner in some 1600 ways, and see that the tests notice each
	$(PART) $(TEST)/python -m tests.mutation

engine: ## The modules against this machine's Docker Engine
	$(SUDO) $(PART) $(TEST)/pytest tests/engine --no-skips -m 'not long'

test-compose: ## Every command of docker-compose, with that of each Debian release: build/reports/compose.json
	$(SUDO) $(PART) $(TEST)/pytest tests/engine/test_compose.py --no-skips

page: ## Tests of the map page that need no server
	$(PART) bash -c 'cd images/lizmap/map-page && npm ci --ignore-scripts --silent --no-audit --no-fund && npm test --silent'

images-check: ## What the images hold, and which of their packages have a security update: build/reports/images.json
	$(SUDO) $(TEST)/python -m image_contents check $(IMAGES)

images-compare: ## Whether the images are the same as built under emulation, and when built again
	$(SUDO) $(TEST)/python -m image_contents compare

test-lizmap: ## Lizmap's image and all that uses it, in a browser too: make test-lizmap LIZMAP_ARCHIVE=FILE LIZMAP_SERVER_PLUGIN=FILE [LIZMAP_ARCHIVE_BEFORE=FILE] [POPPYFIELD_PROFILE=bookworm]
	@test -n "$(LIZMAP_ARCHIVE)" || { echo 'Name the archives: LIZMAP_ARCHIVE=FILE LIZMAP_SERVER_PLUGIN=FILE'; exit 1; }
	$(SUDO) python3 workshop/laptop/prepare.py lizmap
	$(SUDO) build/venv-lizmap/bin/pytest tests/lizmap --junitxml=build/reports/lizmap-tests.xml

images: ## The images for this machine's own architecture: what they can do, and how they behave
	$(SUDO) $(PART) $(TEST)/pytest tests/images -m 'not long'

lizmap: ## Lizmap's image and the modules for it, with a stand-in for the release, which draws no map page
	$(SUDO) $(PART) $(TEST)/pytest tests/lizmap --ignore=tests/lizmap/test_in_a_browser.py -m 'not long'

test-maps: ## The gallery of projects and dumps, on the map page and on Lizmap: make test-maps [LIZMAP_ARCHIVE=FILE LIZMAP_SERVER_PLUGIN=FILE]
	$(SUDO) rm -rf build/reports/gallery build/reports/gallery.json
	$(SUDO) $(TEST)/pytest $(addprefix tests/lizmap/test_,$(addsuffix .py,gallery editing_trial people_in_qgis published_map)) \
		-k "not published_map or form or filtered or printed"
	$(TEST)/pytest $(addprefix tests/unit/test_,$(addsuffix .py,gallery_of_projects gallery_report inventory_dumps lizmap_filters))
	$(SUDO) $(TEST)/pytest tests/images/test_gallery.py tests/images/test_first_start_dumps.py
	$(SUDO) $(TEST)/pytest tests/images/test_publishing.py -k little_on_it
	$(SUDO) $(TEST)/python -m tests.gallery.report

verify: ## Look at the Pis of an inventory from outside, and change nothing: make verify [INVENTORY=inventory/fleet] [PIS=pi-orchard] [RESTART=true]
	@python3 workshop/laptop/prepare.py verify
	@PATH="$$PWD/build/venv-verify/bin:$$PATH" ANSIBLE_BECOME=true POPPYFIELD_VERIFY_RESTART='$(RESTART)' build/venv-verify/bin/pytest tests/fleet \
		--hosts='ansible://$(or $(PIS),pis)?force_ansible=True' --ansible-inventory='$(or $(INVENTORY),inventory/fleet)'

prove: ## Restore for trial, on this machine, the newest backup of a Pi in a folder: make prove BACKUPS=/srv/backups HOST=pi-orchard [IMAGE=poppyfield/postgis:…]
	@$(SUDO) python3 -I -B module_utils/poppyfield/backup prove-copy --folder '$(BACKUPS)' --host '$(HOST)' --image '$(IMAGE)' \
		--password-file '$(or $(PASSWORD_FILE),inventory/fleet/backup-passwords/$(HOST))'

locks: ## Write the pins and digests of all Python packages again, after a change of the requirements
	python3 -m workshop.laptop.locks

docs: ## Regenerate docs/modules.md and docs/variables.md from what modules and roles say of themselves
	$(TEST)/python docs/modules.py
	$(TEST)/python -m docs.variables

test-status: ## The page of a fleet of four Pis, and the map page's word on its Pi, in a browser, on a laptop and on a phone: build/status/index.html, pictures in build/e2e/
	$(SUDO) python3 workshop/laptop/prepare.py lizmap
	$(SUDO) build/venv-lizmap/bin/pytest tests/lizmap/test_status_in_a_browser.py tests/images/test_map_page_in_a_browser.py \
		tests/images/test_basemaps_in_a_browser.py tests/images/test_position_in_a_browser.py \
		tests/images/test_kept_tables_in_a_browser.py

docs-site: ## The site of all pages, in English and French: build/site/index.html
	$(SUDO) python3 workshop/laptop/prepare.py docs
	$(SUDO) build/venv-docs/bin/sphinx-build --quiet --fresh-env --fail-on-warning --keep-going -c docs/site -d build/docs-read . build/site

test-docs: prepare-test ## The French pages by their own code blocks, from the demo to a rebuilt Pi; an emulated Pi that make demo left is used, and its data are deleted
	$(SUDO) $(TEST)/pytest tests/pages --exitfirst --junitxml=build/reports/docs-tests.xml

molecule: molecule-default molecule-lizmap ## The production playbook on an emulated Pi, without and with Lizmap, looked at from outside

molecule-default:
	$(SUDO) $(PART) bash tests/molecule default

molecule-lizmap:
	$(SUDO) $(PART) bash tests/molecule lizmap

test-page-faults: prepare-test ## Of test-chores what concerns the page of a Pi: faults that it names with the remedy, and its operator's orders
	$(SUDO) env PYTEST_ADDOPTS='-k page' bash tests/molecule chores

bench-build: ## How long the images take to build: plain emulation, native tools, native (PROFILES="trixie bookworm")
	$(SUDO) python3 workshop/laptop/prepare.py bench
	$(SUDO) build/venv-bench/bin/python -m workshop.bench.build $(PROFILES)

bench-modules: ## Our container modules beside community.docker's
	$(SUDO) python3 workshop/laptop/prepare.py bench
	$(SUDO) build/venv-bench/bin/python -m workshop.bench.modules

bench-run: ## A whole run of site.yml beside a playbook of stock modules, on emulated Pis, and runs for many hosts
	$(SUDO) python3 workshop/laptop/prepare.py bench
	$(SUDO) build/venv-bench/bin/python -m workshop.bench.whole_run

bench-memory: ## Memory of the images: make bench-memory IMAGES="POSTGIS_IMAGE LIZMAP_IMAGE"
	$(SUDO) python3 workshop/laptop/prepare.py bench
	$(SUDO) build/venv-bench/bin/python -m workshop.bench.memory $(IMAGES)

bench-text: ## Memory of a worker of QGIS Server for large GeoJSON and CSV: make bench-text IMAGES="POSTGIS_IMAGE LIZMAP_IMAGE"
	$(SUDO) python3 workshop/laptop/prepare.py bench
	$(SUDO) build/venv-bench/bin/python -m workshop.bench.text_memory $(IMAGES)

bench-before: ## What honest use costs more than before: make bench-before BEFORE="POSTGIS_IMAGE LIZMAP_IMAGE" IMAGES="POSTGIS_IMAGE LIZMAP_IMAGE"
	$(SUDO) python3 workshop/laptop/prepare.py bench
	$(SUDO) build/venv-bench/bin/python -m workshop.bench.before --before $(BEFORE) --now $(IMAGES)

bench-serve: ## 1, 5 and 30 visitors of the map page, beside another version: make bench-serve BEFORE="POSTGIS_IMAGE LIZMAP_IMAGE" IMAGES="POSTGIS_IMAGE LIZMAP_IMAGE"
	$(SUDO) python3 workshop/laptop/prepare.py bench
	$(SUDO) build/venv-bench/bin/python -m workshop.bench.serve --before $(BEFORE) --now $(IMAGES)

bench-power-cuts: prepare-test ## 220 cuts of power on a disk that loses what was not flushed: build/reports/power-cuts.json (CUTS=220), or 20 of a whole machine (CLASS=machine CUTS=20; MACHINES=2: of two side by side), or of one while site.yml runs (CLASS=site)
	$(SUDO) python3 workshop/laptop/prepare.py power-cuts
	$(if $(filter machine site,$(CLASS)),$(SUDO) python3 workshop/laptop/prepare.py machine)
	$(SUDO) $(TEST)/python -m tests.power_cuts --cuts $(or $(CUTS),220) $(addprefix --class ,$(CLASS)) $(addprefix --machines ,$(MACHINES))

bench-writes: prepare-test ## What a Pi writes on its card in a day, at rest and with people: build/bench/card-writes.json (SECONDS_EACH=900)
	$(SUDO) $(TEST)/python -m tests.card_writes --seconds $(or $(SECONDS_EACH),900)

bench-abuse: ## Five people at a map server with 1 GB, alone and beside an attacker: make bench-abuse IMAGES="POSTGIS_IMAGE LIZMAP_IMAGE"
	$(SUDO) python3 workshop/laptop/prepare.py bench
	$(SUDO) build/venv-bench/bin/python -m workshop.bench.abuse $(IMAGES)
