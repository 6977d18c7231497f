"""The streams, as data: which objects of which export each is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["resource", "graph", "list", "activity"]
"""Where records come from: a resource export, a graph export, one of Asana's lists, or the audit log and the events."""

INCREMENTAL = {"task": "modified_at", "message": "modified_at"}
"""By `resource_type`, the property to filter changes by; Asana has no such filter for teams."""


@dataclass(frozen=True)
class ListRequest:
    """How Asana is asked for a list; all paths are in its API reference, https://developers.asana.com/reference.

    Attributes:
        path: path and query; `{workspace_gid}` stands for the workspace, `{gid}` for the object that the list is of.
        of_each: name of the stream each of whose objects has such a list; None: the workspace has it.
        is_paged: whether the answer is a page of objects, not one object.
        otherwise: path and query for a token that may not ask for `path`; that list is not complete.
        by_month: whether it is asked for month by month, of `entered_on`, and only the last months each time.
        may_time_out: whether the list of a large workspace may time out, so that it is asked for team by team.
    """

    path: str
    of_each: str | None = None
    is_paged: bool = True
    otherwise: str | None = None
    by_month: bool = False
    may_time_out: bool = False


@dataclass(frozen=True)
class Source:
    """What a stream's records are made of.

    Attributes:
        stream: name of the stream.
        resource_types: types of the objects that have the records; an object is a line of the export's file.
        keys: names of the properties that identify a record.
        array: name of the object's property whose items are the records; None if the object itself is the record.
        gid_of: name of an item's property whose gid is in the key, for items without a gid of their own.
        graph: whether the objects come from graph exports, not resource exports.
        may_lack_gid: whether the objects may have no gid: Asana documents none.
        list: the list that the objects come from; None: they come from exports.
        activity: for records of what happened: the property that says when; None: the records are of objects.
    """

    stream: str
    resource_types: tuple[str, ...]
    keys: tuple[str, ...] = ("gid",)
    array: str | None = None
    gid_of: str | None = None
    graph: bool = False
    may_lack_gid: bool = False
    list: ListRequest | None = None
    activity: str | None = None

    @property
    def kind(self) -> Kind:
        """Where the records come from."""
        if self.activity:
            return "activity"
        if self.list:
            return "list"
        return "graph" if self.graph else "resource"

    @property
    def by_default(self) -> bool:
        """Whether the stream is selected by default: those of whole objects in resource exports are."""
        return self.kind == "resource" and self.array is None

    @property
    def replication_key(self) -> str | None:
        """The replication key; None for nested streams, whose records come with their objects."""
        if self.activity:
            return self.activity
        if self.list:
            return "entered_on" if self.list.by_month else None
        return None if self.graph or self.array else INCREMENTAL.get(self.resource_types[0])

    @property
    def added(self) -> tuple[str, ...]:
        """Names of the properties that the tap adds to Asana's: they tell where a record comes from."""
        if self.graph:
            return ("parent_gid",)
        if self.activity:
            return ("gid", "workspace_gid")
        if self.list:
            return (*(key for key in self.keys if key not in {"gid", "workspace_gid"}), "workspace_gid")
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

IN_WORKSPACE = ("workspace_gid", "gid")

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
    Source("workspaces", ("workspace",), list=ListRequest("/workspaces/{workspace_gid}", is_paged=False)),
    # /workspaces/{workspace_gid}/users ends at 2,000 users.
    Source("users", ("user",), IN_WORKSPACE, list=ListRequest("/users?workspace={workspace_gid}")),
    Source(
        "workspace_memberships",
        ("workspace_membership",),
        list=ListRequest("/workspaces/{workspace_gid}/workspace_memberships"),
    ),
    Source("projects", ("project",), list=ListRequest("/workspaces/{workspace_gid}/projects", may_time_out=True)),
    Source("sections", ("section",), list=ListRequest("/projects/{gid}/sections", of_each="projects")),
    Source("tags", ("tag",), list=ListRequest("/workspaces/{workspace_gid}/tags")),
    Source("custom_fields", ("custom_field",), list=ListRequest("/workspaces/{workspace_gid}/custom_fields")),
    Source(
        "portfolios",
        ("portfolio",),
        list=ListRequest(
            "/portfolios?workspace={workspace_gid}", otherwise="/portfolios?workspace={workspace_gid}&owner=me"
        ),
    ),
    Source(
        "portfolio_items",
        ("project", "portfolio"),
        ("portfolio_gid", "gid"),
        list=ListRequest("/portfolios/{gid}/items", of_each="portfolios"),
    ),
    Source("goals", ("goal",), list=ListRequest("/goals?workspace={workspace_gid}")),
    Source("time_periods", ("time_period",), list=ListRequest("/time_periods?workspace={workspace_gid}")),
    Source(
        "project_templates", ("project_template",), list=ListRequest("/project_templates?workspace={workspace_gid}")
    ),
    Source("allocations", ("allocation",), list=ListRequest("/allocations?workspace={workspace_gid}")),
    Source(
        "time_tracking_entries",
        ("time_tracking_entry",),
        list=ListRequest("/time_tracking_entries?workspace={workspace_gid}", by_month=True),
    ),
    Source("deletions", (), activity="changed_at"),
    Source("events", (), activity="created_at"),
    Source("audit_log_events", (), activity="created_at"),
)


@dataclass(frozen=True)
class ExportRoot:
    """What is exported: a workspace, or the graph below a parent.

    Attributes:
        gid: gid of the workspace, or of the parent: a goal, team, portfolio or project.
        graph: whether it is a graph.
    """

    gid: str
    graph: bool = False

    @property
    def kind(self) -> Kind:
        """Which kind of export it takes."""
        return "graph" if self.graph else "resource"

    @property
    def context(self) -> dict[str, str]:
        """The property that names it in records and in the state."""
        return {"parent_gid" if self.graph else "workspace_gid": self.gid}

    def __str__(self) -> str:
        """Return its name for the log."""
        return f"Graph of {self.gid}" if self.graph else f"Workspace {self.gid}"
