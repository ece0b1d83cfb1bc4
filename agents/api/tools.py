"""Tools and MCP servers of the tenant by REST."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import mixins, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from agents import tool_services
from agents.api import tool_forms as forms
from agents.api.views import Listed, parsed, tenant_of
from agents.models import McpServer, Tool
from agents.tools.openapi_document import tools_of


@extend_schema_view(
    list=extend_schema(summary="List tools", parameters=[forms.ToolFilter]),
    retrieve=extend_schema(summary="Get a tool"),
)
class ToolViewSet(mixins.RetrieveModelMixin, Listed[Tool]):
    """What the tenant's agents may call; a revision names them."""

    serializer_class = forms.ToolSerializer
    queryset = Tool.objects.none()
    lookup_field = "name"
    scope_area = "tools"
    filters = forms.ToolFilter

    def get_queryset(self) -> QuerySet[Tool]:
        return Tool.objects.for_tenant(tenant_of(self.request)).select_related("server")

    def filtered(self, rows: QuerySet[Tool], asked: dict[str, Any]) -> QuerySet[Tool]:
        return rows.filter(kind=asked["kind"]) if "kind" in asked else rows

    @extend_schema(summary="Create an HTTP tool", request=forms.ToolInput, responses={201: forms.ToolSerializer})
    def create(self, request: Request) -> Response:
        data = parsed(forms.ToolInput(data=request.data))
        tool = tool_services.save_http_tool(tenant=tenant_of(request), **data)
        return Response(self.get_serializer(tool).data, status=status.HTTP_201_CREATED)

    @extend_schema(summary="Change an HTTP tool", request=forms.ToolChange, responses={200: forms.ToolSerializer})
    def partial_update(self, request: Request, name: str) -> Response:
        data = parsed(forms.ToolChange(data=request.data))
        tool = tool_services.save_http_tool(tenant=tenant_of(request), tool=self.get_object(), **data)
        return Response(self.get_serializer(tool).data)

    @extend_schema(summary="Delete a tool that no agent uses", responses={204: None})
    def destroy(self, request: Request, name: str) -> Response:
        tool_services.delete_tool(tool=self.get_object())
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(
        summary="Make HTTP tools of an OpenAPI document",
        request=forms.OpenApiImport,
        responses={201: forms.ToolSerializer(many=True)},
    )
    @action(detail=False, methods=["post"], url_path="import", pagination_class=None)
    def import_document(self, request: Request) -> Response:
        data = parsed(forms.OpenApiImport(data=request.data))
        found = tools_of(data["document"], base_url=data["base_url"], operations=data["operations"])
        tools = tool_services.import_tools(tenant=tenant_of(request), tools=found, headers=data["headers"])
        return Response(self.get_serializer(tools, many=True).data, status=status.HTTP_201_CREATED)


@extend_schema_view(list=extend_schema(summary="List MCP servers"), retrieve=extend_schema(summary="Get an MCP server"))
class McpServerViewSet(mixins.RetrieveModelMixin, Listed[McpServer]):
    """Servers of the Model Context Protocol, over streamable HTTP."""

    serializer_class = forms.McpServerSerializer
    queryset = McpServer.objects.none()
    lookup_field = "name"
    scope_area = "tools"
    filters = forms.NoFilter

    def get_queryset(self) -> QuerySet[McpServer]:
        return McpServer.objects.for_tenant(tenant_of(self.request))

    def filtered(self, rows: QuerySet[McpServer], asked: dict[str, Any]) -> QuerySet[McpServer]:
        return rows

    @extend_schema(
        summary="Make an MCP server known", request=forms.McpServerInput, responses={201: forms.McpServerSerializer}
    )
    def create(self, request: Request) -> Response:
        data = parsed(forms.McpServerInput(data=request.data))
        server = tool_services.save_server(tenant=tenant_of(request), **data)
        return Response(self.get_serializer(server).data, status=status.HTTP_201_CREATED)

    @extend_schema(
        summary="Change an MCP server", request=forms.McpServerChange, responses={200: forms.McpServerSerializer}
    )
    def partial_update(self, request: Request, name: str) -> Response:
        data = parsed(forms.McpServerChange(data=request.data))
        server = tool_services.save_server(tenant=tenant_of(request), server=self.get_object(), **data)
        return Response(self.get_serializer(server).data)

    @extend_schema(summary="Forget an MCP server whose tools no agent uses", responses={204: None})
    def destroy(self, request: Request, name: str) -> Response:
        tool_services.delete_server(server=self.get_object())
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(
        summary="Ask an MCP server for its tools",
        request=None,
        responses={200: forms.ToolSerializer(many=True)},
    )
    @action(detail=True, methods=["post"], pagination_class=None)
    def discover(self, request: Request, name: str) -> Response:
        tools = tool_services.discover(server=self.get_object())
        return Response(forms.ToolSerializer(tools, many=True).data)
