/* A PKCS#11 module whose one token takes its PINs at a pad of its own: for settings.test.ts, never shipped. A PIN that is sent to it
   is refused. CONCLAVE_PAD says what happens at the pad: "right", "wrong" or "cancelled". */
#include <pkcs11/pkcs11.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAD 0x100UL

static CK_FLAGS flags = CKF_LOGIN_REQUIRED | CKF_USER_PIN_INITIALIZED | CKF_TOKEN_INITIALIZED | PAD;
static int sessions, user = -1;
static char label[33] = "REHEARSAL pad                   ";

static CK_RV initialize(CK_VOID_PTR arguments) { (void)arguments; return CKR_OK; }
static CK_RV finalize(CK_VOID_PTR reserved) { (void)reserved; return CKR_OK; }

static CK_RV get_info(CK_INFO_PTR info) {
  memset(info, ' ', sizeof *info);
  info->cryptokiVersion.major = 2;
  info->cryptokiVersion.minor = 40;
  info->libraryVersion.major = info->libraryVersion.minor = 0;
  info->flags = 0;
  memcpy(info->manufacturerID, "Pad", 3);
  return CKR_OK;
}

static CK_RV get_slot_list(CK_BBOOL present, CK_SLOT_ID_PTR slots, CK_ULONG_PTR count) {
  (void)present;
  if (slots) *slots = 1;
  *count = 1;
  return CKR_OK;
}

static CK_RV get_slot_info(CK_SLOT_ID slot, CK_SLOT_INFO_PTR info) {
  (void)slot;
  memset(info, ' ', sizeof *info);
  info->flags = CKF_TOKEN_PRESENT;
  info->hardwareVersion.major = info->hardwareVersion.minor = info->firmwareVersion.major = info->firmwareVersion.minor = 0;
  return CKR_OK;
}

static CK_RV get_token_info(CK_SLOT_ID slot, CK_TOKEN_INFO_PTR info) {
  (void)slot;
  memset(info, ' ', sizeof *info);
  memcpy(info->label, label, 32);
  memcpy(info->serialNumber, "1", 1);
  info->flags = flags;
  info->ulSessionCount = info->ulRwSessionCount = (CK_ULONG)sessions;
  info->ulMinPinLen = 4;
  info->ulMaxPinLen = 8;
  info->hardwareVersion.major = info->hardwareVersion.minor = info->firmwareVersion.major = info->firmwareVersion.minor = 0;
  return CKR_OK;
}

static CK_RV get_session_info(CK_SESSION_HANDLE session, CK_SESSION_INFO_PTR info) {
  (void)session;
  memset(info, 0, sizeof *info);
  info->slotID = 1;
  info->state = user == CKU_USER ? CKS_RW_USER_FUNCTIONS : user == CKU_SO ? CKS_RW_SO_FUNCTIONS : CKS_RW_PUBLIC_SESSION;
  return CKR_OK;
}

static CK_RV open_session(CK_SLOT_ID slot, CK_FLAGS how, CK_VOID_PTR application, CK_NOTIFY notify, CK_SESSION_HANDLE_PTR session) {
  (void)slot;
  (void)how;
  (void)application;
  (void)notify;
  *session = (CK_SESSION_HANDLE)++sessions;
  return CKR_OK;
}

static CK_RV close_session(CK_SESSION_HANDLE session) {
  (void)session;
  if (--sessions == 0) user = -1;
  return CKR_OK;
}

/* Somebody types: it takes a while, and the caller waits. */
static CK_RV at_the_pad(CK_UTF8CHAR_PTR pin, CK_ULONG length) {
  const char *what = getenv("CONCLAVE_PAD");
  if (pin || length) return CKR_ARGUMENTS_BAD;
  usleep(300 * 1000);
  if (what && !strcmp(what, "wrong")) {
    flags |= CKF_USER_PIN_COUNT_LOW;
    return CKR_PIN_INCORRECT;
  }
  return what && !strcmp(what, "cancelled") ? CKR_FUNCTION_CANCELED : CKR_OK;
}

static CK_RV login(CK_SESSION_HANDLE session, CK_USER_TYPE who, CK_UTF8CHAR_PTR pin, CK_ULONG length) {
  CK_RV result = at_the_pad(pin, length);
  (void)session;
  if (result == CKR_OK) user = (int)who;
  return result;
}

static CK_RV logout(CK_SESSION_HANDLE session) {
  (void)session;
  user = -1;
  return CKR_OK;
}

static CK_RV init_pin(CK_SESSION_HANDLE session, CK_UTF8CHAR_PTR pin, CK_ULONG length) {
  (void)session;
  return user == CKU_SO ? at_the_pad(pin, length) : CKR_USER_NOT_LOGGED_IN;
}

static CK_RV set_pin(CK_SESSION_HANDLE session, CK_UTF8CHAR_PTR old, CK_ULONG old_length, CK_UTF8CHAR_PTR pin, CK_ULONG length) {
  (void)session;
  return old || old_length ? CKR_ARGUMENTS_BAD : at_the_pad(pin, length);
}

static CK_RV init_token(CK_SLOT_ID slot, CK_UTF8CHAR_PTR pin, CK_ULONG length, CK_UTF8CHAR_PTR new_label) {
  CK_RV result = at_the_pad(pin, length);
  (void)slot;
  if (result != CKR_OK) return result;
  memcpy(label, new_label, 32);
  flags &= ~(CK_FLAGS)CKF_USER_PIN_INITIALIZED;
  return CKR_OK;
}

static CK_RV find_objects_init(CK_SESSION_HANDLE session, CK_ATTRIBUTE_PTR template, CK_ULONG count) {
  (void)session;
  (void)template;
  (void)count;
  return CKR_OK;
}

static CK_RV find_objects(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE_PTR found, CK_ULONG most, CK_ULONG_PTR count) {
  (void)session;
  (void)found;
  (void)most;
  *count = 0;
  return CKR_OK;
}

static CK_RV find_objects_final(CK_SESSION_HANDLE session) { (void)session; return CKR_OK; }

static CK_FUNCTION_LIST functions;

CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR list) {
  functions.version.major = 2;
  functions.version.minor = 40;
  functions.C_Initialize = initialize;
  functions.C_Finalize = finalize;
  functions.C_GetInfo = get_info;
  functions.C_GetSlotList = get_slot_list;
  functions.C_GetSlotInfo = get_slot_info;
  functions.C_GetTokenInfo = get_token_info;
  functions.C_GetSessionInfo = get_session_info;
  functions.C_OpenSession = open_session;
  functions.C_CloseSession = close_session;
  functions.C_Login = login;
  functions.C_Logout = logout;
  functions.C_InitPIN = init_pin;
  functions.C_SetPIN = set_pin;
  functions.C_InitToken = init_token;
  functions.C_FindObjectsInit = find_objects_init;
  functions.C_FindObjects = find_objects;
  functions.C_FindObjectsFinal = find_objects_final;
  *list = &functions;
  return CKR_OK;
}
