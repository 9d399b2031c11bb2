"""User accounts. An email address is stored here, in allauth's tables and in sessions, nowhere else."""

from typing import ClassVar

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone

from headshots.accounts.email_addresses import normalize_email

# Imported here because Django looks for the models of an app in this module.
from headshots.accounts.sessions import Session as Session


class UserManager(BaseUserManager["User"]):
    """A manager of accounts that are identified by their email address."""

    def create_user(self, email: str, password: str | None = None, *, is_staff: bool = False) -> "User":
        """Create an account.

        Without a password, no sign-in is possible. Raises ValueError without an address."""
        if not email:
            raise ValueError("an account needs an email address")
        user = self.model(email=normalize_email(email), is_staff=is_staff)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None) -> "User":
        """Create an account with all permissions in the admin."""
        user = self.create_user(email, password, is_staff=True)
        user.is_superuser = True
        user.save(using=self._db, update_fields=["is_superuser"])
        return user

    def get_by_natural_key(self, username: str | None) -> "User":
        return self.get(email=normalize_email(username or ""))


class User(AbstractBaseUser, PermissionsMixin):
    """An account. Its user name is the email address as `normalize_email` returns it."""

    email = models.EmailField("email", max_length=254, unique=True)
    is_staff = models.BooleanField("staff", default=False)
    is_active = models.BooleanField("active", default=True)
    date_joined = models.DateTimeField("joined", default=timezone.now, editable=False)
    # Set by staff if a photo was refused as a child's, and the customer showed that they are an adult.
    is_confirmed_adult = models.BooleanField("confirmed adult", default=False, editable=False)
    # Set when the customer deletes the account. Nothing new can start, and beat finishes the deletion after a crash.
    deletion_requested_at = models.DateTimeField("deletion requested at", null=True, editable=False)

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        verbose_name = "account"
        constraints = [models.UniqueConstraint(Lower("email"), name="accounts_user_email_any_case")]

    @classmethod
    def normalize_username(cls, username: str) -> str:
        """Return the address in the stored spelling.

        Django's user forms call this before they look for an account with the same address."""
        return normalize_email(username)

    def __str__(self) -> str:
        # Not the address, because the admin copies this text into its log, which outlives the account.
        return f"account {self.pk}"
