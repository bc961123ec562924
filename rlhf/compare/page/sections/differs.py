"""What differs, what the runs stand on, and how they are made again."""

from __future__ import annotations

from rlhf.compare.page.section import Section, View
from rlhf.compare.read.provenance import revisions, shared, versions
from rlhf.compare.text import report, settings as settings_text


def differs(view: View) -> Section:
    study = view.study
    parts = (report.differences(study), report.origins(study), report.repeat(study))
    return Section(
        key="differs",
        title="What differs",
        short="What differs",
        markdown="\n\n".join(filter(None, parts)),
        values={
            "differs": settings_text.differs(study.settings),
            "prints": [
                (stage, shared(prints), ", ".join(x[:12] for x in prints))
                for stage, prints in study.fingerprints.items()
            ],
            "revisions": revisions(study.manifests),
            "versions": [(k, ", ".join(seen)) for k, seen in versions(study.manifests).items()],
            "again": report.again(study.directory),
        },
    )
