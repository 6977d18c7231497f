"""Which streams there are, as data: of what in which export each is made."""

from __future__ import annotations

from dataclasses import dataclass

INCREMENTAL = {"task": "modified_at", "message": "modified_at"}
"""Types of object of which Asana exports what has changed, and by which property; it takes no filter for teams."""


@dataclass(frozen=True)
class Source:
    """Of what a stream's records are made.

    Attributes:
        stream: its name.
        resource_types: types of the objects, each a line of the export's file.
        keys: properties that identify a record.
        array: the property of the object that holds the records; None: the object itself is one.
        gid_of: the property of a record whose gid is in its key.
        graph: whether the objects are those of graph exports.
        may_lack_gid: whether Asana documents no gid.
    """

    stream: str
    resource_types: tuple[str, ...]
    keys: tuple[str, ...] = ("gid",)
    array: str | None = None
    gid_of: str | None = None
    graph: bool = False
    may_lack_gid: bool = False

    @property
    def by_default(self) -> bool:
        """Whether the stream is selected by default: what is cut out of others, or costs an export more, is not."""
        return not self.graph and self.array is None

    @property
    def replication_key(self) -> str | None:
        """The property by which the objects replicate; what is cut out of them comes with them."""
        return None if self.graph or self.array else INCREMENTAL.get(self.resource_types[0])

    @property
    def added(self) -> tuple[str, ...]:
        """Properties that the tap adds to Asana's: where the record comes from."""
        if self.graph:
            return ("parent_gid",)
        of_object = [f"{each}_gid" for each in self.resource_types if self.array]
        of_object += [
            f"{each}_{INCREMENTAL[each]}" for each in self.resource_types if self.array and each in INCREMENTAL
        ]
        of_object += ["parent_type"] if len(self.resource_types) > 1 else []
        of_object += [f"{self.gid_of}_gid"] if self.gid_of else []
        return (*of_object, "workspace_gid")


PART_OF_TASK = ("task_gid", "gid")

PART_OF_MESSAGE = ("message_gid", "gid")

IN_GRAPH = ("parent_gid", "gid")

SOURCES = (
    Source("tasks", ("task",)),
    Source("messages", ("message",)),
    Source("teams", ("team",)),
    Source("stories", ("task", "message"), array="stories"),
    Source("attachments", ("task", "message"), array="attachments"),
    Source("task_memberships", ("task",), ("task_gid", "project_gid"), array="memberships", gid_of="project"),
    Source("task_followers", ("task",), PART_OF_TASK, array="followers"),
    Source("task_tags", ("task",), PART_OF_TASK, array="tags"),
    Source("task_likes", ("task",), PART_OF_TASK, array="likes"),
    Source("task_dependencies", ("task",), PART_OF_TASK, array="dependencies"),
    Source("task_custom_fields", ("task",), PART_OF_TASK, array="custom_fields"),
    Source("team_members", ("team",), ("team_gid", "gid"), array="members"),
    Source("message_parents", ("message",), PART_OF_MESSAGE, array="parents"),
    Source("message_followers", ("message",), PART_OF_MESSAGE, array="followers"),
    Source("graph_portfolios", ("portfolio",), IN_GRAPH, graph=True),
    Source("graph_projects", ("project",), IN_GRAPH, graph=True),
    Source("graph_sections", ("section",), IN_GRAPH, graph=True),
    Source("graph_tasks", ("task",), IN_GRAPH, graph=True),
    Source("graph_portfolio_to_portfolio", ("portfolio_to_portfolio",), IN_GRAPH, graph=True, may_lack_gid=True),
    Source("graph_project_to_portfolio", ("project_to_portfolio",), IN_GRAPH, graph=True, may_lack_gid=True),
    Source("graph_allocations", ("allocation",), IN_GRAPH, graph=True),
    Source("graph_time_tracking_entries", ("time_tracking_entry",), IN_GRAPH, graph=True),
)


@dataclass(frozen=True)
class ExportRoot:
    """What an export is of: a workspace, or the graph below a goal, team, portfolio or project."""

    gid: str
    graph: bool = False

    @property
    def context(self) -> dict[str, str]:
        """How records and the state name it."""
        return {"parent_gid" if self.graph else "workspace_gid": self.gid}

    def __str__(self) -> str:
        """How the log names it."""
        return f"Graph of {self.gid}" if self.graph else f"Workspace {self.gid}"
