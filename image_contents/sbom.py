"""The software bill of materials of an image, in CycloneDX 1.6. Pure; the same archive gives the same text."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import datetime

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import Property
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import License
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.spdx import is_supported_id
from packageurl import PackageURL

from image_contents.archive import Image
from image_contents.packages import Distribution, Package, debian_packages, python_distributions, release


def text(image: Image) -> str:
    """Give the bill of materials."""
    system = release(image.files)
    found = Bom(
        serial_number=uuid.uuid5(uuid.NAMESPACE_OID, "".join(layer.digest for layer in image.layers)),
        metadata=BomMetaData(
            component=_image(image), timestamp=datetime.fromisoformat(image.config["created"].replace("Z", "+00:00"))
        ),
        components=[
            Component(
                name=system.get("ID", "unknown"),
                version=system.get("VERSION_ID"),
                type=ComponentType.OPERATING_SYSTEM,
                bom_ref="operating-system",
            ),
            *(_debian(package, system) for package in debian_packages(image.files)),
            *(_python(distribution) for distribution in python_distributions(image.files)),
        ],
    )
    if found.metadata.component:
        found.register_dependency(found.metadata.component, found.components)
    return JsonV1Dot6(found).output_as_string(indent=1) + "\n"


def _image(image: Image) -> Component:
    name, _, tag = image.reference.rpartition(":")
    return Component(
        name=name,
        version=tag,
        type=ComponentType.CONTAINER,
        bom_ref="image",
        properties=[Property(name=label, value=value) for label, value in sorted(image.labels.items())],
    )


def _debian(package: Package, system: dict[str, str]) -> Component:
    vendor = system.get("ID", "debian")
    qualifiers = {"arch": package.architecture, "distro": f"{vendor}-{system.get('VERSION_ID', '')}"}
    purl = PackageURL("deb", vendor, package.name, package.version, qualifiers)
    return Component(
        name=package.name,
        version=package.version,
        purl=purl,
        bom_ref=purl.to_string(),
        licenses=_licences(package.licences),
        properties=[Property(name="debian:source", value=f"{package.source} {package.source_version}")],
    )


def _python(distribution: Distribution) -> Component:
    purl = PackageURL("pypi", None, distribution.name, distribution.version)
    return Component(
        name=distribution.name,
        version=distribution.version,
        purl=purl,
        bom_ref=purl.to_string(),
        licenses=_licences([distribution.licence] if distribution.licence else []),
    )


def _licences(names: Iterable[str]) -> list[License]:
    factory = LicenseFactory()
    return [factory.make_with_id(name) if is_supported_id(name) else factory.make_with_name(name) for name in names]
