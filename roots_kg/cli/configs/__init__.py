"""`roots configs`: settings of training runs, the ready-made ones and one's own."""

from __future__ import annotations

from roots_kg.cli.verbs import verb_group

app = verb_group(
    "Settings of training runs.",
    {
        "ls": ("configs.ls:list_configs", "List the settings that come with this package."),
        "cp": ("configs.cp:copy_config", "Copy settings that come with this package, to change them."),
        "validate": ("configs.validate:validate_configs", "Check settings files without training anything."),
    },
)
