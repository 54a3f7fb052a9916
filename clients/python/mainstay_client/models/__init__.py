"""Contains all the data models used in inputs/outputs"""

from .account_view import AccountView
from .credentials import Credentials
from .get_health_live_response_200 import GetHealthLiveResponse200
from .get_health_ready_response_200 import GetHealthReadyResponse200
from .get_openapi_response_200 import GetOpenapiResponse200
from .jwk import Jwk
from .jwk_set import JwkSet
from .logout_input import LogoutInput
from .me_patch import MePatch
from .me_view import MeView
from .new_account import NewAccount
from .new_post import NewPost
from .post_page import PostPage
from .post_part import PostPart
from .post_patch import PostPatch
from .post_view import PostView
from .problem import Problem
from .problem_errors_item import ProblemErrorsItem
from .problem_errors_item_in import ProblemErrorsItemIn
from .profile_part import ProfilePart
from .profile_view import ProfileView
from .refresh_input import RefreshInput
from .token_pair import TokenPair
from .user_entry import UserEntry
from .user_entry_page import UserEntryPage

__all__ = (
    "AccountView",
    "Credentials",
    "GetHealthLiveResponse200",
    "GetHealthReadyResponse200",
    "GetOpenapiResponse200",
    "Jwk",
    "JwkSet",
    "LogoutInput",
    "MePatch",
    "MeView",
    "NewAccount",
    "NewPost",
    "PostPage",
    "PostPart",
    "PostPatch",
    "PostView",
    "Problem",
    "ProblemErrorsItem",
    "ProblemErrorsItemIn",
    "ProfilePart",
    "ProfileView",
    "RefreshInput",
    "TokenPair",
    "UserEntry",
    "UserEntryPage",
)
